/**
 * Compiles assembly/ to WebAssembly and writes it, as base64, into modules: it then loads the same way in Node, in a
 * browser and in a bundle, without a second file to find. The kernels twice, from the same source: over a shared memory
 * for several threads, and over an ordinary one for runtimes that give no shared memory. And the module that measures
 * the machine's limits.
 */
import { readFile, writeFile } from "node:fs/promises";
import asc from "assemblyscript/asc";

const root = new URL("../", import.meta.url);

const SHARED = ["--sharedMemory", "--maximumMemory=65536"];

/** The binary of a source in assembly/, as base64. */
async function compile(source: string, memoryOptions: readonly string[]): Promise<string> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      `assembly/${source}`,
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
  process.stdout.write(`assembly/${source}: ${binary.length} bytes\n`);
  return Buffer.from(binary).toString("base64");
}

const MADE_BY = "// Made by scripts/build-kernels.ts from assembly/.";

const single = await compile("index.ts", []);
const shared = await compile("index.ts", SHARED);
await writeFile(
  new URL("src/kernels/wasm/kernels-binary.ts", root),
  `${MADE_BY}
export const kernelsBinary = {
  single:
    "${single}",
  shared:
    "${shared}",
};
`,
);

await writeFile(
  new URL("src/bench/limits-binary.ts", root),
  `${MADE_BY}
export const limitsBinary =
  "${await compile("limits.ts", SHARED)}";
`,
);
