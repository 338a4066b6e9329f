/**
 * Servers on sockets, and what current clients get of them, under this package's own Node: `npm run test:clients`. The table of it
 * in docs/api.md is compared, or written with `--write`.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "lastrow-clients-"));
/** @returns whether it ended well */
const run = (program, ...args) => {
  const { status, error } = spawnSync(program, args, { stdio: "inherit", timeout: 180_000 });
  if (error !== undefined) throw error;
  return status === 0;
};
try {
  const isRight =
    run(here("../../node_modules/.bin/tsx"), here("make-models.ts"), folder) &&
    run(here("node_modules/.bin/node"), here("run.mjs"), folder, ...process.argv.slice(2));
  process.exitCode = isRight ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
