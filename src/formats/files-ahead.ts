/** A model's small files, fetched side by side: of files that are far away, each costs a journey there and back. */
import type { ModelFile, ModelFiles } from "./model-files.js";

/** Larger ones are opened, and read when it is their turn. */
const MOST_BYTES = 2 * 1024 * 1024;

/** The same files, of which some are opened at once. Owns each of those until it is asked for. */
export class FilesAhead implements ModelFiles {
  readonly label: string;
  readonly #files: ModelFiles;
  readonly #ahead = new Map<string, Promise<ModelFile | null>>();

  /** @param names those that will be asked for, in that order; what is wrong with one is told then */
  constructor(files: ModelFiles, names: readonly string[]) {
    this.label = files.label;
    this.#files = files;
    for (const name of names) this.#hold(name, files.open(name).then(readAhead));
  }

  /** Opens one more that will be asked for, and reads nothing of it. */
  begin(name: string): void {
    this.#hold(name, this.#files.open(name));
  }

  #hold(name: string, opening: Promise<ModelFile | null>): void {
    opening.catch(() => undefined);
    this.#ahead.set(name, opening);
  }

  /** Whether there is such a file; it stays open for `open`, which tells what else is wrong with it. */
  async has(name: string): Promise<boolean> {
    if (!this.#ahead.has(name)) this.begin(name);
    return this.#ahead.get(name)!.then(
      (file) => file !== null,
      () => true,
    );
  }

  open(name: string): Promise<ModelFile | null> {
    const opening = this.#ahead.get(name);
    // What was given is its caller's: a second time it is opened anew.
    this.#ahead.delete(name);
    return opening ?? this.#files.open(name);
  }

  /** Closes those that were not asked for. */
  async close(): Promise<void> {
    const left = [...this.#ahead.values()];
    this.#ahead.clear();
    for (const opening of left) {
      const file = await opening.catch(() => null);
      await file?.close();
    }
  }
}

/** A small file is read at once: a server may give up a download that is not read. */
function readAhead(file: ModelFile | null): ModelFile | null {
  if (file === null || file.size > MOST_BYTES) return file;
  const bytes = new Uint8Array(file.size);
  const reading = file.read(0, bytes);
  reading.catch(() => undefined);
  return {
    name: file.name,
    size: file.size,
    async read(offset, target) {
      await reading;
      target.set(bytes.subarray(offset, offset + target.length));
    },
    close: () => file.close(),
  };
}
