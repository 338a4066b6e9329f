/**
 * A file of weights that was opened for its header and closed: a browser lets only a few downloads from one host be open at
 * a time.
 */
import { modelFileInvalid } from "../errors.js";
import type { ModelFile, ModelFiles } from "./model-files.js";

/** A file that is opened again, by its name, when it is first read. */
export class ReopenedFile implements ModelFile {
  readonly name: string;
  readonly size: number;
  readonly #files: ModelFiles;
  readonly #plainName: string;
  #opened: Promise<ModelFile | null> | null = null;

  constructor(files: ModelFiles, plainName: string, first: ModelFile) {
    this.name = first.name;
    this.size = first.size;
    this.#files = files;
    this.#plainName = plainName;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#opened ??= this.#files.open(this.#plainName);
    const file = await this.#opened;
    if (file?.size !== this.size)
      throw modelFileInvalid(`${this.name} was changed or removed while it was read.`);
    await file.read(offset, target);
  }

  async close(): Promise<void> {
    const file = await this.#opened?.catch(() => null);
    await file?.close();
  }
}
