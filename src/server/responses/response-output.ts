/**
 * An answer as items, put together piece by piece, and the events that tell of it. Whole answers and streams are made of the
 * same pieces here, so that they have the same items. Log-probabilities, of which there may be a hundred thousand, are written
 * as JSON when they come, and only there: all that tells of them again takes that text.
 *
 * Always: one item after the other, each begun, told in deltas and ended; deltas joined are the item.
 */
import type { GenerationPiece } from "../../protocol/generation-request.js";
import type { FinishReason } from "../../sampling/continuation.js";
import type { ToolCallDelta } from "../../tools/tool.js";
import { type JsonTexts, withTexts } from "../chunk-text.js";
import type {
  OutputCall,
  OutputItem,
  OutputMessage,
  OutputReasoning,
  OutputText,
} from "../schemas/response-items.js";
import { newId } from "./response-items.js";
import type { StoredItem } from "./stored-responses.js";

/** Sends an event of a type; its last fields are JSON texts. */
export type TellEvent = (type: string, fields: object, texts?: JsonTexts) => void;

type Logprobs = OutputText["logprobs"];
/** A message whose one part has its log-probabilities apart; none before it has begun to be said. */
type Message = Omit<OutputMessage, "content"> & { content: [] | [Omit<OutputText, "logprobs">] };
type Item = Message | OutputReasoning | OutputCall;
/** Makes log-probabilities of a piece what clients see; null: none are wanted. */
export type ShownLogprobs = ((piece: GenerationPiece) => Logprobs) | null;

type Status = OutputItem["status"];

export class ResponseOutput {
  readonly #items: Item[] = [];
  /** Elements of a list in JSON, by message. */
  readonly #logprobs = new Map<Item, string>();
  readonly #tell: TellEvent;
  readonly #shown: ShownLogprobs;
  /** The last item, while it goes on. */
  #open: Item | null = null;
  /** Which of the answer's calls it is. */
  #call = -1;
  /** Log-probabilities of tokens whose text is still to come. */
  #waiting: Logprobs = [];

  constructor(tell: TellEvent, shown: ShownLogprobs) {
    this.#tell = tell;
    this.#shown = shown;
  }

  /** The items, as JSON. */
  get json(): string {
    return `[${this.#items.map((item) => this.#itemJson(item)).join(",")}]`;
  }

  /** The items as parts of a conversation, which has no log-probabilities. */
  get said(): readonly StoredItem[] {
    return this.#items.map((item) => ({ id: item.id, json: this.#itemJson(item, "") }));
  }

  /** Takes what is new: thoughts before text before calls. */
  piece(piece: GenerationPiece): void {
    const { text, reasoning = "", toolCalls = [] } = piece;
    if (reasoning !== "") this.#think(reasoning);
    const isSilent = text === "" && reasoning === "" && toolCalls.length === 0;
    // Tokens of thoughts have none to show, nor have those of calls.
    if (this.#shown !== null && !(reasoning !== "" && text === "")) this.#waiting.push(...this.#shown(piece));
    if (isSilent && this.#open?.type === "reasoning") this.#waiting = [];
    if (text !== "") this.#say(text);
    for (const delta of toolCalls) this.#callOn(delta);
  }

  /** Ends the last item. An answer that has neither text nor calls has an empty text, unless it was cut in its thoughts. */
  end(reason: FinishReason | "tool_calls"): void {
    const isCut = reason === "length";
    const last = this.#open;
    if (last?.type === "message" && this.#waiting.length > 0) this.#say("");
    const isAnswered = this.#items.some(({ type }) => type !== "reasoning");
    if (!isAnswered && !(isCut && last?.type === "reasoning")) {
      this.#end("completed");
      this.#beginMessage();
    }
    this.#end(isCut ? "incomplete" : "completed");
  }

  #think(delta: string): void {
    const item = this.#open?.type === "reasoning" ? this.#open : this.#beginReasoning();
    this.#waiting = [];
    item.summary[0].text += delta;
    this.#tell("response.reasoning_summary_text.delta", { ...this.#place(item), summary_index: 0, delta });
  }

  #say(delta: string): void {
    const item = this.#open?.type === "message" ? this.#open : this.#beginMessage();
    const logprobs = JSON.stringify(this.#waiting);
    if (this.#waiting.length > 0) {
      const before = this.#logprobs.get(item);
      const more = logprobs.slice(1, -1);
      this.#logprobs.set(item, before === undefined ? more : `${before},${more}`);
    }
    this.#waiting = [];
    item.content[0]!.text += delta;
    const place = { ...this.#place(item), content_index: 0 };
    this.#tell("response.output_text.delta", { ...place, delta }, { logprobs });
  }

  #callOn({ index, id, name, arguments: delta }: ToolCallDelta): void {
    this.#waiting = [];
    const isSame = this.#open?.type === "function_call" && this.#call === index;
    this.#call = index;
    const item = isSame ? (this.#open as OutputCall) : this.#beginCall(id ?? newId("call"), name ?? "");
    if (delta === "") return;
    item.arguments += delta;
    this.#tell("response.function_call_arguments.delta", { ...this.#place(item), delta });
  }

  #beginReasoning(): OutputReasoning {
    const part = { type: "summary_text" as const, text: "" };
    const item = this.#begin<OutputReasoning>({
      ...{ type: "reasoning", id: newId("rs"), status: "in_progress", summary: [] },
    });
    this.#tell("response.reasoning_summary_part.added", { ...this.#place(item), summary_index: 0, part });
    item.summary.push(part);
    return item;
  }

  #beginMessage(): Message {
    const part = { type: "output_text" as const, text: "", annotations: [] };
    const item = this.#begin<Message>({
      ...{ type: "message", id: newId("msg"), status: "in_progress", role: "assistant", content: [] },
    });
    const place = { ...this.#place(item), content_index: 0 };
    this.#tell("response.content_part.added", place, { part: partJson(part, "") });
    item.content = [part];
    return item;
  }

  #beginCall(callId: string, name: string): OutputCall {
    return this.#begin<OutputCall>({
      ...{ type: "function_call", id: newId("fc"), status: "in_progress" },
      ...{ call_id: callId, name, arguments: "" },
    });
  }

  #begin<T extends Item>(item: T): T {
    this.#end("completed");
    this.#items.push(item);
    this.#open = item;
    this.#tell("response.output_item.added", { output_index: this.#items.length - 1, item });
    return item;
  }

  #end(status: Status): void {
    const item = this.#open;
    if (item === null) return;
    this.#open = null;
    item.status = status;
    const place = this.#place(item);
    if (item.type === "reasoning") {
      const [part] = item.summary;
      const { text } = part;
      this.#tell("response.reasoning_summary_text.done", { ...place, summary_index: 0, text });
      this.#tell("response.reasoning_summary_part.done", { ...place, summary_index: 0, part });
    } else if (item.type === "message") {
      const part = item.content[0]!;
      const { text } = part;
      const logprobs = this.#logprobs.get(item) ?? "";
      const inPart = { ...place, content_index: 0 };
      this.#tell("response.output_text.done", { ...inPart, text }, { logprobs: `[${logprobs}]` });
      this.#tell("response.content_part.done", inPart, { part: partJson(part, logprobs) });
    } else {
      const { name, arguments: written } = item;
      this.#tell("response.function_call_arguments.done", { ...place, name, arguments: written });
    }
    const { output_index } = place;
    this.#tell("response.output_item.done", { output_index }, { item: this.#itemJson(item) });
  }

  #itemJson(item: Item, logprobs = this.#logprobs.get(item) ?? ""): string {
    if (item.type !== "message") return JSON.stringify(item);
    const { content, ...message } = item;
    return withTexts(message, { content: `[${content.map((part) => partJson(part, logprobs)).join("")}]` });
  }

  #place({ id }: Item): { readonly item_id: string; readonly output_index: number } {
    return { item_id: id, output_index: this.#items.length - 1 };
  }
}

/** @param logprobs elements of a list in JSON */
function partJson(part: Omit<OutputText, "logprobs">, logprobs: string): string {
  return withTexts(part, { logprobs: `[${logprobs}]` });
}
