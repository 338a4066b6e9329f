/** The stream of a response: events with names, counted from 0; what fails in the middle is told in it. */

import { printableJson } from "../../printable.js";
import type { ApiError } from "../api-error.js";
import { type JsonTexts, withTexts } from "../chunk-text.js";
import { OPENAI_STREAM, type SendEvent, type StreamForm } from "../server-sent-events.js";

export class ResponseEvents {
  readonly #failed: (error: ApiError) => string;
  #send: SendEvent | null = null;
  #count = 0;

  /** @param failed the response as JSON, as it has failed */
  constructor(failed: (error: ApiError) => string) {
    this.#failed = failed;
  }

  /** Whether anything has been told. */
  get hasBegun(): boolean {
    return this.#count > 0;
  }

  /** Where the events go; until it is called, nowhere. */
  sendTo(send: SendEvent): void {
    this.#send = send;
  }

  /** @param texts more fields, as JSON texts: what is told several times is written once */
  tell(type: string, fields: object, texts: JsonTexts = {}): void {
    this.#send?.(this.#json(type, fields, texts), type);
  }

  /** How they are written. */
  get form(): StreamForm {
    return {
      ...OPENAI_STREAM,
      event: (data, name) => `event: ${name}\ndata: ${data}\n\n`,
      failure: (error) => this.#failure(error),
      end: "",
    };
  }

  /** OpenAI's clients take the first as what went wrong; a response that has begun is ended by the second. */
  #failure(error: ApiError): string {
    const { code, message, param } = error;
    const told = (type: string, fields: object, texts: JsonTexts = {}) =>
      this.form.event(printableJson(this.#json(type, fields, texts)), type);
    const hadBegun = this.hasBegun;
    const first = told("error", { code, message, param });
    return hadBegun ? first + told("response.failed", {}, { response: this.#failed(error) }) : first;
  }

  #json(type: string, fields: object, texts: JsonTexts): string {
    const sequence_number = this.#count;
    this.#count += 1;
    return withTexts({ type, sequence_number, ...fields }, texts);
  }
}
