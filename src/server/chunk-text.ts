/** Answers as JSON: whole, or in chunks, where what is the same in all of them is made once. */
import { setImmediate } from "node:timers/promises";

export class ChunkText {
  readonly #envelope: object;
  readonly #before: string;
  readonly #includeUsage: boolean;

  /**
   * @param envelope what every chunk says of the answer
   * @param includeUsage whether the last chunk has the usage; the others then have none of it
   */
  constructor(envelope: object, includeUsage: boolean) {
    this.#envelope = envelope;
    this.#before = `${JSON.stringify(envelope).slice(0, -1)},"choices":[`;
    this.#includeUsage = includeUsage;
  }

  /** @param timings those of the whole answer, in its last choice */
  chunk(choice: object, timings?: object): string {
    const usage = this.#includeUsage ? ',"usage":null' : "";
    const end = timings === undefined ? "" : `,"timings":${JSON.stringify(timings)}`;
    return `${this.#before}${JSON.stringify(choice)}]${usage}${end}}`;
  }

  /** The chunk after the last choice's, if it is wanted. */
  *usage(usage: object): Generator<string> {
    if (this.#includeUsage) yield JSON.stringify({ ...this.#envelope, choices: [], usage });
  }
}

/**
 * A whole answer, one choice in each turn of the event loop: a request may have a hundred of them, each with ten
 * thousand log-probabilities, and others are answered meanwhile.
 * @param choices made as they are taken
 */
export function wholeText(
  envelope: object,
  choices: Iterable<object>,
  { usage, timings }: { readonly usage: object; readonly timings: object },
): Promise<string> {
  return listText(envelope, "choices", choices, { usage, timings });
}

/**
 * An answer around a list, an item in each turn of the event loop.
 * @param items made as they are taken
 * @param rest what comes behind the list
 */
export async function listText(
  envelope: object,
  name: string,
  items: Iterable<object>,
  rest: object,
): Promise<string> {
  const parts: string[] = [];
  for (const item of items) {
    parts.push(JSON.stringify(item));
    await setImmediate();
  }
  return `${JSON.stringify(envelope).slice(0, -1)},"${name}":[${parts.join(",")}],${JSON.stringify(rest).slice(1)}`;
}
