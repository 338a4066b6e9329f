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

  /**
   * @param choice a JSON text
   * @param timings those of the whole answer, in its last choice
   */
  chunk(choice: string, timings?: object): string {
    const usage = this.#includeUsage ? ',"usage":null' : "";
    const end = timings === undefined ? "" : `,"timings":${JSON.stringify(timings)}`;
    return `${this.#before}${choice}]${usage}${end}}`;
  }

  /** The chunk after the last choice's, if it is wanted. */
  *usage(usage: object): Generator<string> {
    if (this.#includeUsage) yield JSON.stringify({ ...this.#envelope, choices: [], usage });
  }
}

/** Fields whose values are JSON texts already. */
export type JsonTexts = Readonly<Record<string, string>>;

/** An object as JSON. @param said has one field at least @param texts its last fields */
export function withTexts(said: object, texts: JsonTexts): string {
  const fields = Object.entries(texts).map(([name, text]) => `,${JSON.stringify(name)}:${text}`);
  return `${JSON.stringify(said).slice(0, -1)}${fields.join("")}}`;
}

/**
 * A choice as JSON.
 * @param said its number, and its text or its message
 * @param logprobs a JSON text
 */
export function choiceText(said: object, logprobs: string, finishReason: string | null): string {
  return `${JSON.stringify(said).slice(0, -1)},"logprobs":${logprobs},"finish_reason":${JSON.stringify(finishReason)}}`;
}

/**
 * A whole answer, one choice in each turn of the event loop: a request may have a hundred of them, and others are answered
 * meanwhile.
 * @param choices JSON texts, made as they are taken
 */
export function wholeText(
  envelope: object,
  choices: AsyncIterable<string>,
  { usage, timings }: { readonly usage: object; readonly timings: object },
): Promise<string> {
  return listText(envelope, "choices", choices, { usage, timings });
}

/**
 * An answer around a list, an item in each turn of the event loop.
 * @param items JSON texts, made as they are taken
 * @param rest what comes behind the list
 */
export async function listText(
  envelope: object,
  name: string,
  items: Iterable<string> | AsyncIterable<string>,
  rest: object,
): Promise<string> {
  const parts: string[] = [];
  for await (const item of items) {
    parts.push(item);
    await setImmediate();
  }
  return `${JSON.stringify(envelope).slice(0, -1)},"${name}":[${parts.join(",")}],${JSON.stringify(rest).slice(1)}`;
}

/**
 * An object of nothing but lists, made in parts, one in each turn of the event loop: a choice may have a hundred thousand
 * log-probabilities.
 * @param parts the object with some elements of each list, made as they are taken; at least one
 * @returns JSON, as of the object with all of them
 */
export async function listsText(parts: Iterable<Record<string, readonly unknown[]>>): Promise<string> {
  const lists = new Map<string, string[]>();
  for (const part of parts) {
    for (const [name, elements] of Object.entries(part)) {
      const texts = lists.get(name) ?? [];
      lists.set(name, texts);
      if (elements.length > 0) texts.push(JSON.stringify(elements).slice(1, -1));
    }
    await setImmediate();
  }
  return `{${[...lists].map(([name, texts]) => `${JSON.stringify(name)}:[${texts.join(",")}]`).join(",")}}`;
}
