/** A model's files as the engine has them: their bytes are asked for, and come from its client (client/served-files.ts). */
import { LastrowError } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import type { ReadQuestion } from "../protocol/messages.js";

/** The engine's side: files whose bytes are asked for. */
export class RemoteFiles {
  readonly files: readonly ModelFile[];
  readonly #ask: (question: Omit<ReadQuestion, "type" | "id">) => void;
  readonly #waiting: {
    readonly target: Uint8Array;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  readonly #spare: ArrayBuffer[] = [];

  constructor(
    files: readonly { readonly name: string; readonly size: number }[],
    ask: (question: Omit<ReadQuestion, "type" | "id">) => void,
  ) {
    this.#ask = ask;
    this.files = files.map(({ name, size }, file) => ({
      name,
      size,
      read: (offset, target) => this.#read(file, offset, target),
      // They are the client's to close.
      close: async () => undefined,
    }));
  }

  /** Takes the answer to the oldest question. */
  take(buffer: ArrayBuffer): void {
    this.#spare.push(buffer);
    const read = this.#waiting.shift();
    if (read === undefined) return;
    read.target.set(new Uint8Array(buffer, 0, read.target.length));
    read.resolve();
  }

  /** Nothing more will come. The client knows why. */
  fail(): void {
    const error = new LastrowError("model_file_invalid", "A model file could not be read.");
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #read(file: number, offset: number, target: Uint8Array): Promise<void> {
    const { length } = target;
    const spare = this.#spare.pop();
    const buffer = spare !== undefined && spare.byteLength >= length ? spare : new ArrayBuffer(length);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ target, resolve, reject });
      this.#ask({ file, offset, length, buffer });
    });
  }
}
