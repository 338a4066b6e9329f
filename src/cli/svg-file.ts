/** Writes figures to files. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { LastrowError } from "../errors.js";
import type { Scene } from "../explain/scene.js";
import { renderSvg, type SvgOptions } from "../explain/svg.js";

/**
 * Draws a scene into a file; its folder is made when it is missing.
 * @throws LastrowError `file_not_written`
 */
export async function writeSvg(path: string, scene: Scene, options: SvgOptions = {}): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, renderSvg(scene, options));
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new LastrowError("file_not_written", `The figure cannot be written to ${path}: ${reason}.`, {
      cause,
    });
  }
}
