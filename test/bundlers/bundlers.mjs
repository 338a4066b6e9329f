/** Each bundler's build of the programs, as its documentation begins: an entry, an output, and what it needs to find packages. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** From a folder to the path of a bundle for Node of its `node.js`. */
export const forNode = {
  async "esbuild, CommonJS"(folder) {
    const { build } = await toolOf(folder, "esbuild");
    const outfile = join(folder, "out/esbuild/node.cjs");
    // Silent about `import.meta`, which CommonJS has not.
    await build({
      entryPoints: [join(folder, "node.js")],
      bundle: true,
      platform: "node",
      outfile,
      logLevel: "error",
    });
    return outfile;
  },
  async rollup(folder) {
    const dir = join(folder, "out/rollup");
    await rollup(folder, { input: "node.js", output: { dir, entryFileNames: "node.mjs" } });
    return join(dir, "node.mjs");
  },
  async webpack(folder) {
    await webpack(folder, { entry: "./node.js", target: "node", out: "out/webpack", filename: "node.cjs" });
    return join(folder, "out/webpack/node.cjs");
  },
  async vite(folder) {
    const { build } = await toolOf(folder, "vite");
    await build({ root: folder, logLevel: "error", build: { ssr: "node.js", outDir: "out/vite-ssr" } });
    return join(folder, "out/vite-ssr/node.js");
  },
};

/**
 * From a folder to the folder of a site. Where a bundler does not know the words for a worker, the engine runs in the
 * page, and where it does not know those for an asset, the model has an address. `mostScriptBytes` are those that a page may fetch
 * until it has its answer, compressed: a twentieth more than it did when that was written. Webpack and Vite make scripts smaller,
 * esbuild and Rollup do not by themselves. Where all is one file, what would be fetched later is in it: esbuild's page, Vite's worker.
 */
export const forPages = {
  vite: {
    findsWorker: true,
    mostScriptBytes: 195_000,
    async build(folder) {
      const { build } = await toolOf(folder, "vite");
      await build({ root: folder, logLevel: "error", build: { outDir: "out/vite" } });
      return join(folder, "out/vite");
    },
  },
  webpack: {
    findsWorker: true,
    mostScriptBytes: 132_000,
    async build(folder) {
      await webpack(folder, {
        entry: "./page.js",
        target: "web",
        out: "out/page-webpack",
        filename: "page.js",
      });
      return withPage(folder, "out/page-webpack");
    },
  },
  esbuild: {
    findsWorker: false,
    mostScriptBytes: 425_000,
    async build(folder) {
      const { build } = await toolOf(folder, "esbuild");
      const outfile = join(folder, "out/page-esbuild/page.js");
      await build({
        entryPoints: [join(folder, "page-by-address.js")],
        bundle: true,
        outfile,
        logLevel: "error",
      });
      return withPage(folder, "out/page-esbuild");
    },
  },
  rollup: {
    findsWorker: false,
    mostScriptBytes: 256_000,
    async build(folder) {
      const dir = join(folder, "out/page-rollup");
      await rollup(folder, {
        input: "page-by-address.js",
        output: { dir, entryFileNames: "page.js" },
      });
      return withPage(folder, "out/page-rollup");
    },
  },
};

/** Builds a folder's Next.js application. */
export const ofNext = {
  "Next.js, Turbopack": (folder) => buildNext(folder, "--turbopack"),
  "Next.js, webpack": (folder) => buildNext(folder, "--webpack"),
};

function buildNext(folder, bundler) {
  rmSync(join(folder, ".next"), { recursive: true, force: true });
  execFileSync(process.execPath, [join(folder, "node_modules/next/dist/bin/next"), "build", bundler], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production" },
  });
}

/** The module of a package that the folder has installed. */
async function toolOf(folder, name) {
  const require = createRequire(pathToFileURL(join(folder, "package.json")));
  return await import(pathToFileURL(require.resolve(name)).href);
}

async function rollup(folder, { input, output }) {
  const [{ rollup }, resolve, commonjs, json] = await Promise.all(
    ["rollup", "@rollup/plugin-node-resolve", "@rollup/plugin-commonjs", "@rollup/plugin-json"].map((name) =>
      toolOf(folder, name),
    ),
  );
  const bundle = await rollup({
    input: join(folder, input),
    plugins: [resolve.default(), commonjs.default(), json.default()],
    onwarn(warning) {
      // Dependencies have circles, `this` at their top, and built-ins of newer runtimes; what else cannot be resolved
      // would not run.
      if (warning.code === "UNRESOLVED_IMPORT" && !warning.exporter?.startsWith("node:"))
        throw new Error(warning.message);
    },
  });
  await bundle.write({ format: "es", ...output });
  await bundle.close();
}

async function webpack(folder, { entry, target, out, filename }) {
  const { default: webpack } = await toolOf(folder, "webpack");
  await new Promise((resolve, reject) => {
    webpack(
      { mode: "production", context: folder, entry, target, output: { path: join(folder, out), filename } },
      (error, stats) => {
        if (error) reject(error);
        else if (stats.hasErrors()) reject(new Error(stats.toString({ all: false, errors: true })));
        else resolve();
      },
    );
  });
}

/** Adds the page to a folder of scripts. */
function withPage(folder, out) {
  mkdirSync(join(folder, out), { recursive: true });
  cpSync(join(folder, "index.html"), join(folder, out, "index.html"));
  return join(folder, out);
}
