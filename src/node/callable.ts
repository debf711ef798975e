// Classes that can be called as Node's can: `net.Socket()` without `new`, and `net.Socket.call(this)` from a constructor function.
//
// Node's net and dgram predate classes, and programs rely on both. A class keeps what its constructor does in `init`; the function made
// here runs it on a new object, on an instance of a derived class, or on the object an old-style constructor hands over.

type Constructor<A extends unknown[], T> = new (...args: A) => T;

/** A constructor that also works as a plain function. */
export type Callable<A extends unknown[], T> = Constructor<A, T> & ((...args: A) => T);

/**
 * @param Base the class, whose constructor prepares with `prepare` and then calls `init`
 * @param prepare does to an existing object what the constructors above `Base` do to a new one
 * @param extension what the new prototype has besides Base's
 */
export function callable<A extends unknown[], T extends object>(
  Base: Constructor<A, T>,
  name: string,
  prepare: (target: T, args: A) => void,
  extension: PropertyDescriptorMap,
): Callable<A, T> {
  const made = function (this: unknown, ...args: A): T {
    if (new.target !== undefined) return Reflect.construct(Base, args, new.target);
    if (!(this instanceof made)) return Reflect.construct(Base, args, made);
    const target = this as T;
    prepare(target, args);
    return target;
  } as Callable<A, T>;
  Object.setPrototypeOf(made, Base);
  made.prototype = Object.create(Base.prototype, {
    ...extension,
    constructor: { value: made, configurable: true, writable: true },
  });
  Object.defineProperty(made, 'name', { value: name, configurable: true });
  return made;
}
