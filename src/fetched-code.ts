/** Code that is fetched when it is first needed: in a page, a file of the build. */
import { LastrowError } from "./errors.js";

/**
 * What an `import()` resolves to; all of those go through here.
 * @throws LastrowError `code_unavailable` when it cannot be fetched
 */
export async function fetchedCode<Module>(importing: Promise<Module>): Promise<Module> {
  try {
    return await importing;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LastrowError(
      "code_unavailable",
      `A part of lastrow's own code could not be loaded (${reason}): load the page again; if that does not help, serve all files of one build together.`,
      { cause },
    );
  }
}
