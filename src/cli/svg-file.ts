/** Writes figures to files. */
import { access, constants, mkdir, stat, writeFile } from "node:fs/promises";
import { LastrowError } from "../errors.js";
import type { Scene } from "../explain/scene.js";
import { renderSvg, type SvgOptions } from "../explain/svg.js";

/** What is wrong with a folder, by the system's code. */
const FOLDER_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such folder",
  EEXIST: "it is not a folder",
  ENOTDIR: "it is not a folder",
  EACCES: "it may not be written to",
};

/**
 * Sees to it that files can be written into a folder, before what is to be written takes its time.
 * @param what the file or files, at the beginning of a sentence
 * @param makes whether a folder that is missing is made
 * @throws LastrowError `file_not_written`
 */
export async function expectFolder(
  folder: string,
  what: string,
  { makes }: { readonly makes: boolean },
): Promise<void> {
  try {
    if (makes) await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const reason = FOLDER_FAULTS[code] ?? message;
    throw new LastrowError("file_not_written", `${what} cannot be written to ${folder}: ${reason}.`, {
      cause,
    });
  }
}

/**
 * Draws a scene into a file, whose folder is there.
 * @throws LastrowError `file_not_written`
 */
export async function writeSvg(path: string, scene: Scene, options: SvgOptions = {}): Promise<void> {
  try {
    await writeFile(path, renderSvg(scene, options));
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new LastrowError("file_not_written", `The figure cannot be written to ${path}: ${reason}.`, {
      cause,
    });
  }
}
