/**
 * Which functions of the kernels V8 makes 256 bits wide, as it tells itself: `node test/vectors/fused.mjs [names…]` prints
 * how many operations of each exported function it fused (0: it found none worth it), of those whose names begin so. Run it
 * with the Node that is meant, 24 or newer on x86-64: `npx -y -p node@26 -- node test/vectors/fused.mjs`. It reads what
 * `npm run build:kernels` wrote.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const BINARIES = new URL("../../src/kernels/wasm/kernels-binary.ts", import.meta.url);
const FLAGS = [
  ...["--experimental-wasm-revectorize", "--trace-wasm-revectorize", "--wasm-num-compilation-tasks=1"],
  ...["--no-wasm-inlining", "--no-liftoff", "--no-wasm-lazy-compilation"],
];

/** The built modules by name: the kernels', and those that use relaxed SIMD. */
function builtModules() {
  const text = readFileSync(BINARIES, "utf8");
  const binaryOf = (name) =>
    Buffer.from(new RegExp(`${name} = \\{\\s*single:\\s*"([^"]*)"`).exec(text)[1], "base64");
  return { kernels: binaryOf("kernelsBinary"), relaxed: binaryOf("relaxedBinary") };
}

/** Names of a module's exported functions by their numbers, from its bytes. */
function exportedFunctions(bytes) {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const names = new Map();
  while (at < bytes.length) {
    const section = bytes[at++];
    const size = number();
    const next = at + size;
    if (section === 7) {
      for (let left = number(); left > 0; left--) {
        const length = number();
        const name = bytes.toString("utf8", at, at + length);
        at += length;
        const kind = bytes[at++];
        const index = number();
        if (kind === 0) names.set(index, name);
      }
    }
    at = next;
  }
  return names;
}

/** @returns how many operations were fused in each exported function of a module, by name */
function fusedIn(bytes) {
  const program = `new WebAssembly.Module(Buffer.from(require("fs").readFileSync(0, "utf8"), "base64"))`;
  const trace = execFileSync(process.execPath, [...FLAGS, "--eval", program], {
    input: bytes.toString("base64"),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  const names = exportedFunctions(bytes);
  const fused = new Map([...names.values()].map((name) => [name, 0]));
  const functions = trace.split(/^Begin revec function wasm-function#/m).slice(1);
  if (functions.length === 0) throw new Error("V8 told of no function");
  for (const part of functions) {
    const name = names.get(Number.parseInt(part, 10));
    if (name === undefined) continue;
    const counts = [...part.matchAll(/Decided? to vectorize, (\d+) revectorizable nodes/g)];
    fused.set(name, fused.get(name) + counts.reduce((sum, [, count]) => sum + Number(count), 0));
  }
  return fused;
}

/** The same for all modules. */
export function fusedFunctions() {
  const { kernels, relaxed } = builtModules();
  // The two have functions of the same names.
  const ofRelaxed = WebAssembly.validate(relaxed) ? [...fusedIn(relaxed)] : [];
  return new Map([...fusedIn(kernels), ...ofRelaxed.map(([name, count]) => [`relaxed.${name}`, count])]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = process.argv.slice(2);
  for (const [name, count] of [...fusedFunctions()].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (wanted.length > 0 && !wanted.some((start) => name.startsWith(start))) continue;
    process.stdout.write(`${String(count).padStart(5)}  ${name}\n`);
  }
}
