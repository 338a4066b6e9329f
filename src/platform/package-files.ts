/**
 * Where the package's own files are: scripts of threads, the embedded model, the page. They are looked for when the
 * program runs, and in words that no bundler follows: `new URL("…", import.meta.url)` would be an asset to them, which a
 * folder cannot be. Bundled code is elsewhere than its package, which is then found in `node_modules`, as Node would
 * find it; one of another version does not count. Node only.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LastrowError } from "../errors.js";
import { VERSION } from "../version.js";

/** This module's address, or its bundle's; bundles in CommonJS have none. */
const ADDRESS: string | undefined = import.meta.url;

/** Whether a loader compiles the sources as they run: scripts of threads have to be built before. */
export const RUNS_FROM_SOURCES = ADDRESS?.endsWith(".ts") === true;

/**
 * The path of a file or a folder of the package.
 * @param path from the package's folder on, such as `models/stories`
 * @returns null where this code was bundled and its package is not installed beside it
 */
export function packagePath(path: string): string | null {
  const folder = packageFolder();
  return folder === null ? null : join(folder, ...path.split("/"));
}

/**
 * The script of a thread.
 * @throws LastrowError `runtime_unsupported` where `packagePath` gives null
 */
export function threadScript(path: string): string {
  const script = packagePath(path);
  if (script !== null) return script;
  throw new LastrowError(
    "runtime_unsupported",
    "The server's threads run scripts of the package; this code was bundled and runs where lastrow is not installed: install it there.",
  );
}

function packageFolder(): string | null {
  const here = ADDRESS?.startsWith("file:") ? dirname(fileURLToPath(ADDRESS)) : null;
  // src/platform or dist/platform.
  if (here !== null && isThisPackage(dirname(dirname(here)))) return dirname(dirname(here));
  const script = process.argv[1];
  for (const start of [here, script === undefined ? null : dirname(script), process.cwd()]) {
    const found = start === null ? null : installedFrom(start);
    if (found !== null) return found;
  }
  return null;
}

/** The package in the `node_modules` of a folder, or of one that it is in. */
function installedFrom(start: string): string | null {
  for (let folder = start; ; folder = dirname(folder)) {
    const installed = join(folder, "node_modules", "lastrow");
    if (isThisPackage(installed)) return installed;
    if (dirname(folder) === folder) return null;
  }
}

function isThisPackage(folder: string): boolean {
  try {
    const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return name === "lastrow" && version === VERSION;
  } catch {
    // No such file, or not one of ours.
    return false;
  }
}
