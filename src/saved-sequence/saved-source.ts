/** The places that a sequence can be restored from. */

import { platform } from "#platform";
import { LastrowError } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import { shown } from "../option-checks.js";
import { BlobFile } from "../platform/url-files.js";

/** Where a saved sequence is: in Node a path or a `file:` address; everywhere a `File`, a `Blob`, or bytes. */
export type SavedSource = string | URL | Blob | ArrayBuffer | Uint8Array;

/** @throws LastrowError `saved_sequence_not_found`, `invalid_argument` for anything else than a source */
export async function openSaved(source: SavedSource): Promise<ModelFile> {
  if (source instanceof Blob) return new BlobFile(nameOf(source), source);
  if (source instanceof ArrayBuffer) return bytesFile(new Uint8Array(source));
  if (source instanceof Uint8Array) return bytesFile(source);
  if (typeof source !== "string" && !(source instanceof URL)) {
    throw new LastrowError(
      "invalid_argument",
      `A sequence is restored from a path, a File, a Blob or bytes, not from ${shown(source)}.`,
    );
  }
  let file: ModelFile | null;
  try {
    file = await platform.openFile(source);
  } catch (cause) {
    if (!(cause instanceof LastrowError) || cause.code === "invalid_argument") throw cause;
    throw notFound(cause.message, cause);
  }
  if (file === null) throw notFound(`There is no file ${String(source)}.`);
  return file;
}

function nameOf(blob: Blob): string {
  return "name" in blob && typeof blob.name === "string" ? blob.name : "The saved sequence";
}

/** Bytes as a file, without a copy. */
function bytesFile(bytes: Uint8Array): ModelFile {
  return {
    name: "The saved sequence",
    size: bytes.length,
    read: async (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    close: async () => undefined,
  };
}

function notFound(sentence: string, cause?: unknown): LastrowError {
  return new LastrowError("saved_sequence_not_found", sentence, { cause });
}
