// What the function says, without HTTP: so `node --test` tests it on any machine.

/** Greets `name`, or the world. */
export function greet(name) {
  return `Hello, ${name || "world"}!\n`;
}
