/**
 * Which functions of the kernels V8 makes 256 bits wide, as it tells itself: `node test/vectors/fused.mjs [names…]` prints
 * how many operations of each function with vectors it fused (0: it found none worth it), of those whose names begin so. Run it
 * with the Node that is meant, 24 or newer on x86-64: `npx -y -p node@26 -- node test/vectors/fused.mjs`. It compiles the
 * kernels, with the names of their functions, which the built ones don't have: half a minute.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const FLAGS = [
  ...["--experimental-wasm-revectorize", "--trace-wasm-revectorize", "--wasm-num-compilation-tasks=1"],
  ...["--no-wasm-inlining", "--no-liftoff", "--no-wasm-lazy-compilation"],
];
/** @returns how many operations were fused in each function of a module that V8 looked at, by `file/function` */
function fusedIn(file) {
  const program = `new WebAssembly.Module(require("fs").readFileSync(process.argv[1]))`;
  const trace = execFileSync(process.execPath, [...FLAGS, "--eval", program, file], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  // V8 calls a function by its name where the module has names.
  const [, ...functions] = trace.split(/^Begin revec function (?:assembly\/)?/m);
  if (functions.length === 0) {
    throw new Error(
      `V8 ${process.versions.v8} told of no function: it takes Node 24 or newer on x86-64 with AVX2, and no other of V8's flags.`,
    );
  }
  const fused = new Map();
  for (const part of functions) {
    const name = part.slice(0, part.indexOf("\n")).trim();
    const counts = [...part.matchAll(/Decided? to vectorize, (\d+) revectorizable nodes/g)];
    fused.set(name, (fused.get(name) ?? 0) + counts.reduce((sum, [, count]) => sum + Number(count), 0));
  }
  return fused;
}

/** The same for both modules; the names of the one that uses relaxed SIMD have a prefix, since the two have functions in common. */
function fusedFunctions() {
  const folder = mkdtempSync(join(tmpdir(), "lastrow-named-"));
  try {
    const build = ["--import", "tsx", "scripts/build-kernels.ts", "--named", folder];
    execFileSync(process.execPath, build, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
    const relaxed = join(folder, "relaxed.wasm");
    const ofRelaxed = WebAssembly.validate(readFileSync(relaxed)) ? [...fusedIn(relaxed)] : [];
    return new Map([
      ...fusedIn(join(folder, "kernels.wasm")),
      ...ofRelaxed.map(([name, count]) => [`relaxed.${name}`, count]),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const wanted = process.argv.slice(2);
const functions = [...fusedFunctions()].sort(([a], [b]) => (a < b ? -1 : 1));
const missing = wanted.filter((start) => !functions.some(([name]) => name.startsWith(start)));
if (missing.length > 0) {
  process.stderr.write(
    `No function that V8 looked at begins with ${missing.map((start) => `"${start}"`).join(", ")}: it has no vectors, was inlined, or is called otherwise. There are: ${functions.map(([name]) => name).join(", ")}.\n`,
  );
  process.exitCode = 1;
}
for (const [name, count] of functions) {
  if (wanted.length > 0 && !wanted.some((start) => name.startsWith(start))) continue;
  process.stdout.write(`${String(count).padStart(5)}  ${name}\n`);
}
