/** Builds a page for each engine, as a user's bundler would; no code is shared, so that its bytes are the engine's own. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import type { EngineName } from "./page-report.js";
import { BUILT_SITE, local } from "./paths.js";

const SCRIPTS: Readonly<Record<EngineName, string>> = {
  lastrow: "lastrow.ts",
  "transformers.js": "transformers-js.ts",
  wllama: "wllama.ts",
};

export async function buildSite(engine: EngineName): Promise<void> {
  const folder = join(BUILT_SITE, engine);
  await build({
    configFile: false,
    logLevel: "error",
    root: local("site"),
    base: `/${engine}/`,
    resolve: { alias: [{ find: /^lastrow$/, replacement: local("../../dist/index.js") }] },
    worker: { format: "es" },
    build: {
      ...{ outDir: folder, emptyOutDir: true, target: "esnext", modulePreload: false },
      chunkSizeWarningLimit: 10_000,
      rollupOptions: {
        input: local(`site/${SCRIPTS[engine]}`),
        output: { entryFileNames: "page.js" },
      },
    },
  });
  // An icon of its own, so that the browser asks for none.
  const head = `<meta charset="utf-8"><title>${engine}</title><link rel="icon" href="data:,">`;
  await writeFile(
    join(folder, "index.html"),
    `<!doctype html>${head}<script type="module" src="page.js"></script>`,
  );
}
