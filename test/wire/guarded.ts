// A DataView that fails on any access outside the range a test allows: how a codec's bounds are checked.

// The types know no DataView without type parameters to extend; the run-time class is the ordinary one.
const View: new (buffer: ArrayBuffer) => DataView = DataView;

export class GuardedView extends View {
  start = 0;
  end = 0;

  /** Allow [start, end) from now on. */
  guard(start: number, end: number): this {
    this.start = start;
    this.end = end;
    return this;
  }

  #touch(off: number, length: number): void {
    if (off < this.start || off + length > this.end) {
      throw new RangeError(`access to [${off}, ${off + length}) outside [${this.start}, ${this.end})`);
    }
  }

  override getUint8(off: number): number {
    this.#touch(off, 1);
    return super.getUint8(off);
  }

  override getUint16(off: number, little?: boolean): number {
    this.#touch(off, 2);
    return super.getUint16(off, little);
  }

  override getInt32(off: number, little?: boolean): number {
    this.#touch(off, 4);
    return super.getInt32(off, little);
  }

  override getUint32(off: number, little?: boolean): number {
    this.#touch(off, 4);
    return super.getUint32(off, little);
  }

  override setUint8(off: number, value: number): void {
    this.#touch(off, 1);
    super.setUint8(off, value);
  }

  override setUint16(off: number, value: number, little?: boolean): void {
    this.#touch(off, 2);
    super.setUint16(off, value, little);
  }

  override setInt32(off: number, value: number, little?: boolean): void {
    this.#touch(off, 4);
    super.setInt32(off, value, little);
  }

  override setUint32(off: number, value: number, little?: boolean): void {
    this.#touch(off, 4);
    super.setUint32(off, value, little);
  }
}
