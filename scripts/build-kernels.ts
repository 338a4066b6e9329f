/**
 * Compiles assembly/ to WebAssembly and writes it, as base64, into a module: the kernels then load the same way in
 * Node, in a browser and in a bundle, without a second file to find.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
let binary: Uint8Array | undefined;

const { error, stderr } = await asc.main(
  [
    "assembly/index.ts",
    "--outFile=kernels.wasm",
    "-O3",
    "--runtime=stub",
    "--noAssert",
    "--enable=simd,bulk-memory",
    "--importMemory",
    // Constants live below the first address that a memory plan hands out.
    "--memoryBase=1024",
    "--use=abort=",
  ],
  {
    readFile: (name: string, base: string) =>
      readFile(new URL(name, new URL(`${base}/`, new URL("..", import.meta.url))), "utf8").catch(() => null),
    writeFile: (name: string, contents: string | Uint8Array) => {
      if (name.endsWith(".wasm") && typeof contents !== "string") binary = contents;
    },
    listFiles: () => [],
  },
);
if (error !== null || binary === undefined) {
  process.stderr.write(`${stderr.toString()}\n${String(error)}\n`);
  process.exit(1);
}

const source = `// Made by scripts/build-kernels.ts from assembly/.\nexport const kernelsBinary =\n  "${Buffer.from(binary).toString("base64")}";\n`;
await writeFile(`${root}/src/kernels/wasm/kernels-binary.ts`, source);
process.stdout.write(`WebAssembly kernels: ${binary.length} bytes\n`);
