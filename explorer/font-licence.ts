/** The fonts' licence, which goes where they go; those of the bundled code are `build.license`'s. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** @param root the repository's folder */
export function fontLicence(root: string): Plugin {
  return {
    name: "font-licence",
    apply: "build",
    generateBundle() {
      for (const font of ["inter", "jetbrains-mono"]) {
        const file = join(root, "node_modules/@fontsource-variable", font, "LICENSE");
        this.emitFile({ type: "asset", fileName: `licences/${font}.txt`, source: readFileSync(file) });
      }
    },
  };
}
