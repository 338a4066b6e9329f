/**
 * The explorer as a static folder: relative addresses, so that any path on any host serves it. It bundles the library as
 * a user's page would, from dist/.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { fontLicence } from "./font-licence.ts";

/** What lets a page share memory between threads. */
const isolationHeaders = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const root = fileURLToPath(new URL("../", import.meta.url));
const library = (path: string) => join(root, "dist", path);

/** What the package exports, and nothing else: `lastrow`, `lastrow/explain` … */
const entries = Object.entries<{ default?: string }>(
  JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports,
).flatMap(([name, { default: file }]) =>
  file === undefined
    ? []
    : [{ find: new RegExp(`^lastrow${name.slice(1)}$`), replacement: join(root, file) }],
);

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  plugins: [svelte(), fontLicence(root)],
  resolve: {
    alias: entries,
  },
  worker: { format: "es" },
  build: {
    outDir: library("explorer"),
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "licences/bundled.md" },
    // The model's files are fetched one by one, with their progress.
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        assetFileNames: ({ originalFileNames }) =>
          originalFileNames.some((name) => name.includes("models/stories/"))
            ? "stories/[name][extname]"
            : "assets/[name]-[hash][extname]",
      },
    },
  },
  server: { headers: isolationHeaders, fs: { allow: [".."] } },
  preview: { headers: isolationHeaders },
});
