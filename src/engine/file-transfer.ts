/**
 * A model's files, read on the client's side and used on the engine's. They stay where they were opened: what was checked
 * there is what is read, a page fetches nothing twice, and files of any making will do. Bytes travel in buffers that go
 * to and fro and are never copied on the way.
 */
import { LastrowError } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import type { ClientMessage, HostMessage } from "./protocol.js";

type ReadQuestion = Extract<HostMessage, { type: "read" }>;

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

/** Looks at bytes of a file that were read, before they travel. */
export type OnRead = (file: number, offset: number, bytes: Uint8Array) => void;

/** The client's side: reads what it is asked for, one after the other. */
export class ServedFiles {
  readonly #files: readonly ModelFile[];
  readonly #signal: AbortSignal | undefined;
  readonly #onRead: OnRead | undefined;
  readonly #answer: (message: ClientMessage, transfer?: ArrayBuffer[]) => void;
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;

  constructor(
    files: readonly ModelFile[],
    { signal, onRead }: { readonly signal?: AbortSignal | undefined; readonly onRead?: OnRead | undefined },
    answer: (message: ClientMessage, transfer?: ArrayBuffer[]) => void,
  ) {
    this.#files = files;
    this.#signal = signal;
    this.#onRead = onRead;
    this.#answer = answer;
  }

  /** What went wrong with a file here, if anything did: better than what the other side can say of it. */
  get failure(): { readonly error: unknown } | null {
    return this.#failure;
  }

  read({ file, offset, length, buffer }: ReadQuestion): void {
    this.#last = this.#last.then(async () => {
      try {
        if (this.#signal?.aborted) throw new LastrowError("aborted", "Loading was cancelled.");
        const bytes = new Uint8Array(buffer, 0, length);
        await this.#files[file].read(offset, bytes);
        this.#onRead?.(file, offset, bytes);
      } catch (error) {
        this.#failure ??= { error };
        this.#answer({ type: "readFailed" });
        return;
      }
      this.#answer({ type: "bytes", buffer }, [buffer]);
    });
  }
}
