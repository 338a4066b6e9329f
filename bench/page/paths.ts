/** Where things lie. Everything below `models/`, `dist/` and `results/` can be made again. */
import { fileURLToPath } from "node:url";

export function local(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Default of `--models`. */
export const MODELS = local("models");
/** What Vite makes of `site/`: a folder for each engine. */
export const BUILT_SITE = local("dist");
