/**
 * The package as its users get it: packed, installed into an empty folder, run from the command line and as a library,
 * and bundled for a browser. Installing takes the dependencies from npm's cache where it has them.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { load } from "../../src/index.js";
import { complaints, writeFamilySample, writeSamples } from "./samples.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const NPM_OPTIONS = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"];

let folder: string;
let packed: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-package-"));
  const pack = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
    cwd: root,
  });
  const [{ filename, files }] = JSON.parse(pack.stdout);
  packed = files.map((file: { path: string }) => file.path);
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", ...NPM_OPTIONS, `./${filename}`], { cwd: folder });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The same call on the sources: what the package must give, too. */
async function expected() {
  await using lm = await load();
  return await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
}

test("holds what is needed and nothing of the workshop", () => {
  for (const needed of [
    "package.json",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "SECURITY.md",
    "dist/index.js",
    "dist/index.d.ts",
    "dist/cli/main.js",
    "dist/chat-page/index.html",
    "dist/explorer/index.html",
    "models/stories/model.safetensors",
    "models/stories/README.md",
  ]) {
    expect(packed).toContain(needed);
  }
  expect(
    packed.filter((path) =>
      /(^|\/)(test|assembly|scripts|node_modules)\/|\.test\.|tsconfig|golden/.test(path),
    ),
  ).toEqual([]);
});

test("runs from the command line", async () => {
  const { stdout } = await run(
    join(folder, "node_modules/.bin/lastrow"),
    ["generate", "Once upon a time", "--max-tokens", "12", "--seed", "3", "--json"],
    { cwd: folder },
  );
  const { text, tokens } = await expected();
  expect(JSON.parse(stdout)).toMatchObject({ text, tokens, model: "stories" });
});

test("works as a library, and the program ends by itself", async () => {
  await writeFile(
    join(folder, "use.js"),
    `import { load } from "lastrow";
     import { directoryTier } from "lastrow/tier";
     const lm = await load(undefined, { tier: directoryTier({ folder: "tier", key: new Uint8Array(32) }) });
     const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
     process.stdout.write(text + ", " + (await lm.tierStats()).breaker);`,
  );
  // It ends by itself, with its engine and its tier open.
  const { stdout } = await run(process.execPath, ["use.js"], { cwd: folder, timeout: 60_000 });
  expect(stdout).toBe(`${(await expected()).text}, closed`);
});

test("has types for all that the pages show, and none of what is internal", async () => {
  const files = await writeSamples(root, folder);
  expect(files.length).toBeGreaterThan(12);
  for (const way of ["node16", "bundler"] as const) expect(complaints(files, way), way).toEqual([]);
  // A program for Node alone, without the types of browsers.
  const program = join(folder, "samples/program.ts");
  await writeFile(
    program,
    'import { load } from "lastrow";\nimport { directoryTier } from "lastrow/tier";\nexport { directoryTier, load };\n',
  );
  expect(complaints([program], "node16", ["lib.es2022.d.ts"])).toEqual([]);
  const types = await readFile(join(folder, "node_modules/lastrow/dist/library/language-model.d.ts"), "utf8");
  expect(types).toContain("generate<");
  expect(types).not.toMatch(/@internal|infillEnds|rankIds/);
}, 120_000);

test("what docs/adding-a-model.md shows fits the sources", async () => {
  expect(complaints([await writeFamilySample(root, folder)], "bundler")).toEqual([]);
}, 120_000);

test("bundles for a browser, without a Node built-in, and the bundle runs", async () => {
  await writeFile(
    join(folder, "page.js"),
    `import { load } from "lastrow";
     import { stories } from "lastrow/stories";
     export { load, stories };`,
  );
  const warnings: string[] = [];
  await build({
    root: folder,
    logLevel: "silent",
    base: "./",
    build: {
      outDir: "bundle",
      // Preloading needs a document, and this bundle is run without one.
      modulePreload: false,
      minify: false,
      // What a page would fetch, not what a library inlines.
      assetsInlineLimit: 0,
      rollupOptions: {
        input: join(folder, "page.js"),
        preserveEntrySignatures: "strict",
        output: { entryFileNames: "page.js" },
        // On a busy machine plugins are slow, which says nothing about the bundle.
        checks: { bundlerTimings: false },
        onwarn: (warning) => warnings.push(warning.message),
      },
    },
  });
  expect(warnings).toEqual([]);
  const assets = await readdir(join(folder, "bundle/assets"));
  const named = (pattern: RegExp) => assets.filter((name) => pattern.test(name));
  expect(named(/\.safetensors$/)).toHaveLength(1);
  // The engine is in the worker, and once more where it is fetched only if no worker can be started.
  expect([named(/^engine-worker-.*\.js$/), named(/^in-process-.*\.js$/)]).toEqual([
    [expect.any(String)],
    [expect.any(String)],
  ]);
  const scripts = ["page.js", ...named(/\.js$/).map((name) => `assets/${name}`)];
  for (const script of scripts) {
    const code = await readFile(join(folder, "bundle", script), "utf8");
    expect(code, script).not.toMatch(/["'`]node:|__vite-browser-external|require\(/);
    // What plans an engine's memory comes with its kernels, and is fetched only where the engine is, or before a download.
    expect(code.includes("WebAssembly.compile"), script).toBe(/engine-worker|engine-plan/.test(script));
  }
  const first = await fetchedAtFirst(join(folder, "bundle"), "page.js");
  expect([...first.keys()].filter((name) => name.includes("engine-plan"))).toEqual([]);
  expect([...first.values()].join("")).toMatch(/new Worker\(/);

  // What was built for a browser runs here too, without its workers: it finds the model by address.
  const models = fileURLToPath(new URL("../../models/", import.meta.url));
  const server = createServer(async (request, response) => {
    const bytes = await readFile(join(models, request.url ?? "")).catch(() => null);
    response
      .writeHead(bytes === null ? 404 : 200, bytes === null ? {} : { "content-length": bytes.length })
      .end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const page = await import(/* @vite-ignore */ pathToFileURL(join(folder, "bundle/page.js")).href);
    const lm = await page.load(`http://127.0.0.1:${(server.address() as AddressInfo).port}/stories`);
    const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
    expect(text).toBe((await expected()).text);
    expect(lm.info).toMatchObject({ threads: 1, worker: false });
    await expect(page.load()).rejects.toMatchObject({ code: "model_not_found" });
  } finally {
    server.close();
  }
}, 120_000);

/** A script of a bundle, and what it imports statically, and so on: their code by name. */
async function fetchedAtFirst(bundle: string, script: string, found = new Map<string, string>()) {
  if (found.has(script)) return found;
  const code = await readFile(join(bundle, script), "utf8");
  found.set(script, code);
  for (const [, name] of code.matchAll(/^(?:import|export) [^"';]*["']\.\/([^"']+\.js)["']/gm)) {
    await fetchedAtFirst(bundle, join(dirname(script), name), found);
  }
  return found;
}
