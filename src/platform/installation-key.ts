/**
 * The key of this installation: 32 random bytes in a file that only its owner may read, made when it is first asked for.
 * A holder of the key can prove that a saved sequence was saved here. Node only.
 */
import { join } from "node:path";
import { LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import { secretAt } from "./secret-file.js";

/**
 * The key in the user's folder for data: `$XDG_DATA_HOME/lastrow/installation-key`, by default under ~/.local/share; on
 * macOS under ~/Library/Application Support, on Windows under %LOCALAPPDATA%.
 */
export async function installationKey(): Promise<Uint8Array | null> {
  let folder: string;
  try {
    // It asks for the home as soon as it is imported, and there need not be one.
    const { default: envPaths } = await fetchedCode(import("env-paths"));
    folder = envPaths("lastrow", { suffix: "" }).data;
  } catch {
    return null;
  }
  return keyIn(folder);
}

/**
 * The key in a folder; makes both where they are not there.
 * @returns null where none can be kept: a read-only or a missing home
 * @throws LastrowError `invalid_argument` for a file that is not a key, or that others may read
 */
export async function keyIn(folder: string): Promise<Uint8Array | null> {
  try {
    return await secretAt(join(folder, "installation-key"));
  } catch (error) {
    if (error instanceof LastrowError) throw error;
    return null;
  }
}
