/** A server on a socket, and what current clients get of it, under this package's own Node: `npm run test:clients`. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
for (const program of ["objects.mjs", "embeddings.mjs"]) {
  execFileSync(`${folder}node_modules/.bin/node`, [folder + program], { stdio: "inherit", timeout: 120_000 });
}
