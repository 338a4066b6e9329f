/** The page to talk, which `lastrow serve` has at `/`: its own static folder, in the explorer's looks and without the engine. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { fontLicence } from "./font-licence.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL("chat", import.meta.url)),
  base: "./",
  plugins: [svelte(), fontLicence(root)],
  build: {
    outDir: join(root, "dist/chat-page"),
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "licences/bundled.md" },
  },
  server: { fs: { allow: [root] }, proxy: { "/v1": "http://127.0.0.1:8080" } },
});
