// Stops a build on a Node.js that is too old, before npm says it less clearly.

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  console.error(`tapstack needs Node.js 20 or later; this is ${process.version}. Install one from https://nodejs.org`);
  process.exit(1);
}
