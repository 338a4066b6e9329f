/**
 * Compiles assembly/ to WebAssembly and writes it, as base64, into a module: the kernels then load the same way in
 * Node, in a browser and in a bundle, without a second file to find. Twice, from the same source: over a shared memory
 * for several threads, and over an ordinary one for runtimes that give no shared memory.
 */
import { readFile, writeFile } from "node:fs/promises";
import asc from "assemblyscript/asc";

const root = new URL("../", import.meta.url);

async function compile(memoryOptions: readonly string[]): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      "assembly/index.ts",
      "--outFile=kernels.wasm",
      "-O3",
      "--runtime=stub",
      "--noAssert",
      "--enable=simd,bulk-memory,threads",
      "--importMemory",
      // Constants and the team's counters live below the first address that a memory plan hands out.
      "--memoryBase=1024",
      "--use=abort=",
      ...memoryOptions,
    ],
    {
      readFile: (name: string, base: string) =>
        readFile(new URL(name, new URL(`${base}/`, root)), "utf8").catch(() => null),
      writeFile: (name: string, contents: string | Uint8Array) => {
        if (name.endsWith(".wasm") && typeof contents !== "string") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === undefined) throw new Error(`${stderr.toString()}\n${String(error)}`);
  return binary;
}

const single = await compile([]);
const shared = await compile(["--sharedMemory", "--maximumMemory=65536"]);
const base64 = (binary: Uint8Array) => Buffer.from(binary).toString("base64");
await writeFile(
  new URL("src/kernels/wasm/kernels-binary.ts", root),
  `// Made by scripts/build-kernels.ts from assembly/.
export const kernelsBinary = {
  single:
    "${base64(single)}",
  shared:
    "${base64(shared)}",
};
`,
);
process.stdout.write(`WebAssembly kernels: ${shared.length} bytes\n`);
