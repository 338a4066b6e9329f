/** The TypeScript that the pages show, as files of a project that has installed the package. */
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";

/** What the pages take to be there: their words say what it is. */
const TAKEN_FOR_GRANTED = `
declare const lm: import("lastrow").LanguageModel;
declare const model: import("lastrow").LanguageModel;
declare const config: import("lastrow").ModelConfig;
declare const schema: { type: "object" };
declare const tokens: number[];
declare const tokenTexts: string[];
declare const z: typeof import("zod").z;
declare function dim(text: string): string;
`;

/** Its examples are pieces of the sources, not programs. */
const ABOUT_THE_SOURCES = "adding-a-model.md";

/**
 * Writes each sample as a module of its own.
 * @param folder has the package in its node_modules
 * @returns their paths, named by page and number
 */
export async function writeSamples(root: string, folder: string): Promise<string[]> {
  const docs = (await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md"));
  const pages = [
    "README.md",
    ...docs.filter((name) => name !== ABOUT_THE_SOURCES).map((name) => `docs/${name}`),
  ];
  const samples = join(folder, "samples");
  await mkdir(samples, { recursive: true });
  await writeFile(join(samples, "granted.d.ts"), TAKEN_FOR_GRANTED);
  const written = [join(samples, "granted.d.ts")];
  for (const page of pages) {
    const text = await readFile(join(root, page), "utf8");
    for (const [i, [, code]] of [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].entries()) {
      const path = join(samples, `${page.replace(/\W/g, "-")}-${i + 1}.ts`);
      await writeFile(path, `${code}export {};\n`);
      written.push(path);
    }
  }
  // What else a reader has installed.
  for (const name of ["openai", "@types"]) {
    await symlink(join(root, "node_modules", name), join(folder, "node_modules", name)).catch(
      () => undefined,
    );
  }
  return written;
}

/**
 * Writes what docs/adding-a-model.md shows as a module beside the sources' own: a family, and rows of its tensors.
 * @returns its path
 */
export async function writeFamilySample(root: string, folder: string): Promise<string> {
  const text = await readFile(join(root, "docs", ABOUT_THE_SOURCES), "utf8");
  const [family, rows, ...others] = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
  if (others.length > 0) throw new Error(`docs/${ABOUT_THE_SOURCES} has an example that is not checked`);
  const path = join(folder, "family.ts");
  await writeFile(
    path,
    `import type { Architecture } from "${root}/src/architectures/architecture.js";
import type { TensorRow } from "${root}/src/model/decoder-spec.js";
declare const readMyFamilyConfig: Architecture["config"];
declare const myFamilyTensors: Architecture["tensors"];
declare const C: number;
${family}
export const rows: readonly TensorRow[] = [
${rows}];
`,
  );
  return path;
}

/** What TypeScript has against them, under its strictest usual settings. */
export function complaints(
  files: readonly string[],
  moduleResolution: "node16" | "bundler",
  lib = ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
): string[] {
  const isNode = moduleResolution === "node16";
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: isNode ? ts.ModuleKind.Node16 : ts.ModuleKind.ESNext,
    moduleResolution: isNode ? ts.ModuleResolutionKind.Node16 : ts.ModuleResolutionKind.Bundler,
    lib,
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    // The package's own declarations, too.
    skipLibCheck: false,
    noEmit: true,
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText, start }) => {
      const where =
        file === undefined
          ? ""
          : `${file.fileName}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: `;
      return `${where}${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    })
    .filter((complaint) => !/node_modules\/(?!lastrow\/)/.test(complaint));
}
