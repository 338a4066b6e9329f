/**
 * A model's files, read on the client's side and used on the engine's. They stay where they were opened: what was checked
 * there is what is read, a page fetches nothing twice, and files of any making will do. Bytes travel in buffers that go
 * to and fro and are never copied on the way.
 */
import { aborted } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import type { ClientMessage, ReadQuestion } from "../protocol/messages.js";

/** Looks at bytes of a file that were read, before they travel. */
export type OnRead = (file: number, offset: number, bytes: Uint8Array) => void;

/** Reads what the engine asks for, one after the other. */
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
        if (this.#signal?.aborted) throw aborted("Loading was cancelled.", this.#signal);
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
