/**
 * Compiles assembly/ to WebAssembly and writes it, as base64, into modules: it then loads the same way in Node, in a
 * browser and in a bundle, without a second file to find. The kernels are deflated first: base64 of what is not compresses badly on
 * its way to a page. They are compiled twice, from the same source: over an ordinary memory, which is what is kept, and over a
 * shared one, for several threads, of which only the digest is: one byte makes the one of the other (memory-kind.ts). Functions that only some models take are kept apart (kernel-parts.ts). Beside them
 * those that use relaxed SIMD, which not every runtime compiles, over the same memory. And the module that measures the machine's
 * limits. Before that, it has written what both sides know of the operations (generate-operations.ts).
 *
 * `--named FOLDER` writes the kernels into a folder instead, with the names of their functions.
 *
 * Compiling takes half a minute, so modules that carry the digest of the present sources are left as they are.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deflateRawSync } from "node:zlib";
import { ALL_USES } from "../src/kernels/kernels.js";
import { referenceBackend } from "../src/kernels/reference/reference-backend.js";
import { KERNEL_PARTS } from "../src/kernels/wasm/packed-types.js";
import { planCheck } from "../src/kernels/wasm/self-check.js";
import { generateOperations } from "./generate-operations.js";
import { takenApart } from "./kernel-parts.js";
import { functionNames, withoutNames } from "./wasm-sections.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const compiler = "node_modules/assemblyscript";

const OPTIONS = [
  "-O3",
  "--runtime=stub",
  "--noAssert",
  "--enable=simd,bulk-memory,threads",
  "--importMemory",
  "--use=abort=",
];
// Constants and the team's counters live below the commands (operations.ts), which lie below the first address that a memory plan
// hands out (RESERVED_BYTES); those of the relaxed module in the upper half of that.
const DATA = ["--memoryBase=1024", "--lowMemoryLimit=32768"];
const RELAXED = ["--memoryBase=32768", "--lowMemoryLimit=65536", "--enable=relaxed-simd"];
const MOST_MEMORY = ["--maximumMemory=65536"];
const SHARED = ["--sharedMemory", ...MOST_MEMORY];

const kernelsModule = join(root, "src/kernels/wasm/kernels-binary.ts");
/** Apart, since a page fetches it only where something may use it. */
const relaxedModule = join(root, "src/kernels/wasm/relaxed-binary.ts");
/** What only some models take, apart, too. */
const partsFolder = join(root, "src/kernels/wasm/parts");
const partFiles = KERNEL_PARTS.map((part) => join(partsFolder, `${part}.ts`));
/** For test/conformance/self-check.test.ts. */
const namesFile = join(root, "test/vectors/function-names.json");
const limitsModule = join(root, "src/bench/limits-binary.ts");

/** Of everything that the binaries depend on. */
async function sourcesDigest(): Promise<string> {
  const names = await readdir(join(root, "assembly"), { recursive: true });
  const sources = names
    .filter((name) => /\.(ts|json)$/.test(name))
    .sort()
    .map((name) => `assembly/${name}`);
  const hash = createHash("sha256");
  for (const name of [
    ...sources,
    "scripts/build-kernels.ts",
    "scripts/kernel-parts.ts",
    "scripts/wasm-sections.ts",
    "src/kernels/wasm/wasm-bytes.ts",
    `${compiler}/package.json`,
  ]) {
    const bytes = await readFile(join(root, name));
    hash.update(`${name} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

/** What the reference kernels give where the others are checked when they are made (src/kernels/wasm/self-check.ts). */
async function writeExpectedDigests(): Promise<void> {
  const { bytes, run } = planCheck(referenceBackend, ALL_USES);
  const parts = run(await referenceBackend.create(bytes));
  const lines = parts.map(({ name, digest }) => `  ${JSON.stringify(name)}: "${digest}",\n`);
  const text = `// Made by scripts/build-kernels.ts with the reference kernels.\nexport const EXPECTED_DIGESTS: Readonly<Record<string, string>> = {\n${lines.join("")}};\n`;
  const path = join(root, "src/kernels/wasm/expected-digests.ts");
  if ((await readFile(path, "utf8").catch(() => null)) !== text) await writeFile(path, text);
}

/** The binary of a source in assembly/; it lies in the folder, too. */
async function compile(
  folder: string,
  source: string,
  options: readonly string[],
  name = `${source.replace("/", "-")}${options.length}`,
): Promise<Buffer> {
  const binary = join(folder, `${name}.wasm`);
  await promisify(execFile)(
    process.execPath,
    [`${compiler}/bin/asc.js`, `assembly/${source}`, `--outFile=${binary}`, ...OPTIONS, ...options],
    { cwd: root },
  );
  const bytes = await readFile(binary);
  process.stdout.write(`assembly/${source}: ${bytes.length} bytes\n`);
  return bytes;
}

/** Bytes as they are kept. */
const packed = (bytes: Uint8Array) => deflateRawSync(bytes, { level: 9, memLevel: 9 }).toString("base64");

const digest = (binary: Buffer) => createHash("sha256").update(binary).digest("hex");

await generateOperations(root);
await writeExpectedDigests();
const sources = await sourcesDigest();
const madeBy = `// Made by scripts/build-kernels.ts from assembly/, of SHA-256 ${sources}.\n`;
const isPresent = async (path: string) =>
  (await readFile(path, "utf8").catch(() => "")).slice(0, 200).includes(sources);

const [named, namedFolder] = process.argv.slice(2);
if (named === "--named") {
  // With the names of all functions, for test/vectors/fused.mjs; nothing else is written.
  await Promise.all([
    compile(namedFolder, "index.ts", [...DATA, ...MOST_MEMORY, "--debug"], "kernels"),
    compile(namedFolder, "relaxed/index.ts", [...RELAXED, ...MOST_MEMORY, "--debug"], "relaxed"),
  ]);
} else if (
  (
    await Promise.all([...partFiles, kernelsModule, relaxedModule, limitsModule, namesFile].map(isPresent))
  ).every(Boolean)
) {
  process.stdout.write("assembly/: nothing has changed\n");
} else {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-kernels-"));
  try {
    const [kernels, shared, relaxed, relaxedShared, limits, relaxedLimits] = await Promise.all([
      compile(folder, "index.ts", [...DATA, ...MOST_MEMORY, "--debug"], "kernels"),
      compile(folder, "index.ts", [...DATA, ...SHARED]),
      compile(folder, "relaxed/index.ts", [...RELAXED, ...MOST_MEMORY, "--debug"], "relaxed"),
      compile(folder, "relaxed/index.ts", [...RELAXED, ...SHARED]),
      compile(folder, "limits-team.ts", [...DATA, ...SHARED]),
      compile(folder, "limits-team.ts", [...DATA, ...SHARED, "--enable=relaxed-simd"]),
    ]);
    const { common, parts } = takenApart(withoutNames(kernels), functionNames(kernels));
    const binary = `export const KERNELS: string =\n  "${packed(common)}";\n`;
    const digests = `/** SHA-256 of what the compiler makes of the same sources over a shared memory. */\nexport const SHARED_DIGESTS = {\n  kernels: "${digest(shared)}",\n  relaxed: "${digest(relaxedShared)}",\n};\n`;
    await writeFile(kernelsModule, madeBy + binary + digests);
    await writeFile(
      relaxedModule,
      `${madeBy}export const RELAXED_KERNELS: string =\n  "${packed(withoutNames(relaxed))}";\n`,
    );
    await mkdir(partsFolder, { recursive: true });
    for (const part of KERNEL_PARTS) {
      const text = `${madeBy}export const PART: string =\n  "${packed(parts[part])}";\n`;
      await writeFile(join(partsFolder, `${part}.ts`), text);
    }
    const names = { sources, kernels: functionNames(kernels), relaxed: functionNames(relaxed) };
    await writeFile(namesFile, `${JSON.stringify(names)}\n`);
    await writeFile(
      limitsModule,
      `${madeBy}${[
        ["LIMITS", limits],
        ["RELAXED_LIMITS", relaxedLimits],
      ]
        .map(([name, binary]) => `export const ${name}: string =\n  "${binary.toString("base64")}";\n`)
        .join("")}`,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}
