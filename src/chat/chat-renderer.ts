/**
 * From the messages of a conversation to the text of a prompt, by a chat template: what transformers hands over is there,
 * tools and calls in OpenAI's form, a developer's message is handed over as the system's to a template that does not know the role, parts of a text are
 * joined for a template that reads no lists, and a message that leaves nothing behind is told. Knows no tokenizer, so that it can run in a thread whose heap is limited.
 */
import { LastrowError } from "../errors.js";
import type { HeapLook } from "../platform/limited-thread.js";
import type { ToolDefinition } from "../tools/tool.js";
import { checkMessages, checkRenderable, textOf } from "./chat-messages.js";
import type { ChatMessage, TemplateVariables } from "./chat-template.js";
import { Template, TemplateRefusal } from "./jinja/template.js";
import type { Run, Text } from "./jinja/text.js";
import { type TemplateCalls, templateCalls, templateTools } from "./template-tools.js";

/** What a template is given beside its messages: plain data. */
export interface RenderOptions {
  /** Whether the prompt ends with the beginning of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
  /** Whether the prompt ends where the text of the last message does, an assistant's, which so goes on. Default false. */
  readonly continueLast?: boolean | undefined;
  /** Texts of `bos_token`, `pad_token` and the like. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** What the model may call, checked; default: nothing. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** More variables of the template, checked. */
  readonly variables?: TemplateVariables | undefined;
  /** Milliseconds that rendering may take. */
  readonly deadlineMs: number;
}

/** A message under the names that templates know. */
interface TemplateMessage extends TemplateCalls, Pick<ChatMessage, "role" | "content"> {
  readonly reasoning_content?: string;
}

/** Milliseconds that a template may take by default. */
export const RENDER_DEADLINE_MS = 5000;

export class ChatRenderer {
  readonly #source: string;
  readonly #template: Template;
  readonly #knowsDeveloper: boolean;
  readonly #heapLook: HeapLook | undefined;

  /**
   * @param heapLook of the thread that it renders in; default: it is not known
   * @throws LastrowError `tokenizer_invalid` when the template cannot be parsed
   */
  constructor(source: string, heapLook?: HeapLook) {
    this.#source = source;
    this.#heapLook = heapLook;
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new LastrowError("tokenizer_invalid", `The chat template is not valid: ${said(cause)}.`, {
        cause,
      });
    }
    this.#knowsDeveloper = this.#template.knowsRole("developer");
  }

  /**
   * The prompt, in runs that say which message they came from.
   * @throws LastrowError `invalid_argument` for messages that are none, that the template refuses (`raise_exception`) or
   *   of which it uses nothing, and for a last one that cannot be continued; `chat_template_failed` when the template
   *   itself fails
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): readonly Run[] {
    checkMessages(messages);
    checkRenderable(options.tools ?? []);
    if (options.continueLast !== true) return this.#renderAll(messages, options);
    checkContinued(messages);
    return upToLast(this.#renderAll(messages, { ...options, addGenerationPrompt: false }), messages);
  }

  #renderAll(messages: readonly ChatMessage[], options: RenderOptions): readonly Run[] {
    const calls = templateCalls(messages, this.#source);
    const handed = messages.map(({ role, content, reasoning }, i): TemplateMessage => {
      const known = role === "developer" && !this.#knowsDeveloper ? "system" : role;
      return {
        ...{ role: known, content },
        ...(reasoning !== undefined && { reasoning_content: reasoning }),
        ...calls[i],
      };
    });
    const end = performance.now() + options.deadlineMs;
    if (handed.some(({ content }) => typeof content !== "string")) {
      try {
        return this.#renderWhole(handed, options, end);
      } catch {
        // A template that reads no lists of parts fails, or drops the message.
      }
    }
    const joined = handed.map((message) => ({ ...message, content: textOf(message) }));
    return this.#renderWhole(joined, options, end);
  }

  #renderWhole(messages: readonly TemplateMessage[], options: RenderOptions, end: number): readonly Run[] {
    const render = (given: readonly TemplateMessage[]) => this.#render(given, options, end);
    const rendered = render(messages);
    const lost = lostMessage(messages, rendered, render);
    if (lost === null) return rendered.runs;
    throw new LastrowError(
      "invalid_argument",
      `The chat template drops message ${lost}, whose role is ${messages[lost].role}: leave the message out, or use a template that handles it.`,
    );
  }

  #render(
    messages: readonly TemplateMessage[],
    { addGenerationPrompt, namedTokens, tools = [], variables, deadlineMs }: RenderOptions,
    end: number,
  ): Text {
    try {
      return this.#template.render({
        messages,
        variables: {
          documents: null,
          ...namedTokens,
          add_generation_prompt: addGenerationPrompt,
        },
        asked: { ...variables, tools: templateTools(tools) },
        end,
        heapLook: this.#heapLook,
      });
    } catch (cause) {
      if (cause instanceof TemplateRefusal) {
        throw new LastrowError(
          "invalid_argument",
          `The chat template refuses these messages: ${said(cause)}.`,
          { cause },
        );
      }
      const reason = performance.now() > end ? `it took more than ${deadlineMs / 1000} s` : said(cause);
      throw templateFailure(reason, cause);
    }
  }
}

/** The first message that the template takes no notice of; null when there is none. */
function lostMessage(
  messages: readonly TemplateMessage[],
  rendered: Text,
  render: (messages: readonly TemplateMessage[]) => Text,
): number | null {
  const traces = new Set(rendered.origins);
  for (const [i, message] of messages.entries()) {
    // An empty one has nothing to lose.
    if (traces.has(i + 1) || textOf(message).trim() === "") continue;
    // A template may rightly cut all of a text (thoughts), or only obey it (/no_think). Then another one in its place
    // would be told from it.
    const content = typeof message.content === "string" ? "x" : [{ type: "text", text: "x" } as const];
    if (render(messages.with(i, { ...message, content })).value === rendered.value) return i;
  }
  return null;
}

/** @throws LastrowError `invalid_argument` */
function checkContinued(messages: readonly ChatMessage[]): void {
  const { role } = messages[messages.length - 1];
  if (role === "assistant") return;
  throw new LastrowError(
    "invalid_argument",
    `Only a message of the assistant's can be continued; the last one's role is ${role}.`,
  );
}

/**
 * A rendered conversation without what the template writes behind the text of its last message.
 * @throws LastrowError `invalid_argument` where the text does not stand there as it is, but for white space at its end
 */
function upToLast(runs: readonly Run[], messages: readonly ChatMessage[]): readonly Run[] {
  const message = messages[messages.length - 1];
  const text = textOf(message).trimEnd();
  const at = runs.findLastIndex(
    (run) => run.origin === messages.length && (text === "" || run.text.trim() !== ""),
  );
  const written = at === -1 ? null : runs[at].text.trimEnd();
  // A template may cut thoughts from the beginning of a text, and trim each of its parts. Without a text, the place
  // counts where it would stand.
  const part = typeof message.content === "string" ? "" : (message.content.at(-1)?.text.trim() ?? "");
  const isItsEnd = (end: string) => text.endsWith(end) || (part !== "" && end.endsWith(part));
  if (written !== null && (text === "" ? written === "" : isItsEnd(written))) return runs.slice(0, at + 1);
  throw new LastrowError(
    "invalid_argument",
    "The chat template does not write the text of the last message as it is, so it cannot be continued: end with a user's message, or use another template.",
  );
}

function isStackOverflow(error: unknown): boolean {
  return (
    error instanceof Error &&
    /call stack|too much recursion/i.test(error.message) &&
    !(error instanceof TemplateRefusal)
  );
}

/** A fault of the template's, not of the messages. */
export function templateFailure(reason: string, cause: unknown): LastrowError {
  return new LastrowError("chat_template_failed", `The chat template failed: ${reason}.`, { cause });
}

function said(error: unknown): string {
  // Each engine has its own words for a full stack.
  if (isStackOverflow(error)) return "it is nested too deeply";
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 200).replace(/\.$/, "");
}
