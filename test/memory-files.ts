/**
 * Model files in memory, for tests. They are stricter than the platforms' own: a read outside the file, a read after
 * `close()` or a second `close()` throws a plain `Error`, never a `LastrowError`, so that a test which accepts only
 * `LastrowError` proves that the reader checked first.
 */
import type { ModelFile, ModelFiles } from "../src/formats/model-files.js";

/** A file in memory that also counts: `readCalls` and `bytesRead` since it was made, `closed` once it is closed. */
export interface MemoryFile extends ModelFile {
  readonly readCalls: number;
  readonly bytesRead: number;
  readonly closed: boolean;
}

/** One file called `name` holding `content` (a string becomes UTF-8). */
export function memoryFile(name: string, content: Uint8Array | string): MemoryFile {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  let readCalls = 0;
  let bytesRead = 0;
  let closed = false;
  return {
    name,
    size: bytes.length,
    get readCalls() {
      return readCalls;
    },
    get bytesRead() {
      return bytesRead;
    },
    get closed() {
      return closed;
    },
    async read(offset, target) {
      if (closed) throw new Error(`${name} was read after it was closed`);
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + target.length > bytes.length) {
        throw new Error(
          `${name}: read of ${target.length} bytes at ${offset} leaves its ${bytes.length} bytes`,
        );
      }
      target.set(bytes.subarray(offset, offset + target.length));
      readCalls += 1;
      bytesRead += target.length;
    },
    async close() {
      if (closed) throw new Error(`${name} was closed twice`);
      closed = true;
    },
  };
}

/**
 * The files of one model, by their plain names; anything else does not exist. `openFiles` lists every handle that was
 * handed out and not yet closed, so that a test can prove that none leaks.
 */
export function memoryFiles(
  label: string,
  contents: Record<string, Uint8Array | string>,
): ModelFiles & { readonly openFiles: readonly string[] } {
  const opened: MemoryFile[] = [];
  return {
    label,
    get openFiles() {
      return opened.filter((file) => !file.closed).map((file) => file.name);
    },
    async open(name) {
      const content = Object.hasOwn(contents, name) ? contents[name] : undefined;
      if (content === undefined) return null;
      const file = memoryFile(name, content);
      opened.push(file);
      return file;
    },
  };
}
