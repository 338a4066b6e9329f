/** The stream of a response: events with names, counted from 0; what fails in the middle is told in it. */

import { printableJson } from "../../printable.js";
import type { ApiError } from "../api-error.js";
import { OPENAI_STREAM, type SendEvent, type StreamForm } from "../server-sent-events.js";

export class ResponseEvents {
  readonly #failed: (error: ApiError) => object;
  #send: SendEvent | null = null;
  #count = 0;

  /** @param failed the response, as it has failed */
  constructor(failed: (error: ApiError) => object) {
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

  tell(type: string, fields: object): void {
    this.#send?.(this.#json(type, fields), type);
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
    const told = (type: string, fields: object) =>
      this.form.event(printableJson(this.#json(type, fields)), type);
    const hadBegun = this.hasBegun;
    const first = told("error", { code, message, param });
    return hadBegun ? first + told("response.failed", { response: this.#failed(error) }) : first;
  }

  #json(type: string, fields: object): string {
    const sequence_number = this.#count;
    this.#count += 1;
    return JSON.stringify({ type, sequence_number, ...fields });
  }
}
