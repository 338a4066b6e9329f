/**
 * Conversations in files: the messages as JSON, and beside them the keys and values of what was said, so that the next answer
 * computes only what is new. A file may come from anywhere: it is read within limits, and nothing changes before it is checked.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { checkMessages } from "../../chat/chat-messages.js";
import type { ChatMessage } from "../../chat/chat-template.js";
import type { Sequence } from "../../client/sequence.js";
import { LastrowError } from "../../errors.js";
import type { Conversation } from "../../library/conversation.js";
import type { LanguageModel } from "../../library/language-model.js";
import { replaceFile } from "../../platform/replace-file.js";

/** Longest file that is read. */
const MAX_BYTES = 16 * 2 ** 20;
const VERSION = 1;

/** A conversation from a file. */
export interface LoadedChat {
  readonly messages: readonly ChatMessage[];
  /** Null: there is none, or it is of no use here. */
  readonly sequence: Sequence | null;
  /** Why it is of no use, a sentence; null otherwise. */
  readonly notice: string | null;
}

/**
 * @returns whether keys and values were saved, too
 * @throws LastrowError `file_not_written`, and then what was there is still there
 */
export async function saveChat(
  path: string,
  conversation: Conversation,
  model: LanguageModel,
): Promise<boolean> {
  const file = atHome(path);
  await expectChatOrNothing(file);
  const messages = conversation.messages.map(written);
  const text = JSON.stringify({ lastrow_chat: VERSION, model: model.info.label, messages }, null, 2);
  await replaceFile(file, piecesOf(`${text}\n`));
  const { sequence } = conversation;
  if (sequence === null) return false;
  await sequence.save(sequencePath(file));
  return true;
}

/** @throws LastrowError `invalid_argument` for a file that is no conversation, or that cannot be read */
export async function loadChat(path: string, model: LanguageModel, signal: AbortSignal): Promise<LoadedChat> {
  const file = atHome(path);
  const messages = messagesIn(await readText(file), file);
  try {
    return { messages, sequence: await model.restore(sequencePath(file), { signal }), notice: null };
  } catch (error) {
    if (!(error instanceof LastrowError) || signal.aborted) throw error;
    const isThere = error.code !== "saved_sequence_not_found";
    return { messages, sequence: null, notice: isThere ? error.message : null };
  }
}

function sequencePath(file: string): string {
  return `${file}.kv.safetensors`;
}

/** No shell has seen it. */
function atHome(path: string): string {
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

/** @throws LastrowError `file_not_written` where saving would replace something else */
async function expectChatOrNothing(file: string): Promise<void> {
  let text: string;
  try {
    text = await readText(file);
  } catch (error) {
    const cause = error instanceof LastrowError ? error.cause : null;
    if ((cause as NodeJS.ErrnoException | null)?.code === "ENOENT") return;
    throw notWritten(file);
  }
  if (parsed(text) === null) throw notWritten(file);
}

function notWritten(file: string): LastrowError {
  return new LastrowError(
    "file_not_written",
    `${file} was not written: it is there, and is no conversation that was saved. Give another name.`,
  );
}

async function readText(file: string): Promise<string> {
  try {
    // To open a pipe would wait for its other end.
    const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error("it is not a regular file");
      if (stat.size > MAX_BYTES) throw new Error(`it has ${stat.size} bytes, and ${MAX_BYTES} are the most`);
      return await handle.readFile("utf8");
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const said = isMissing ? "there is no such file" : (cause as Error).message;
    throw new LastrowError("invalid_argument", `${file} cannot be read: ${said}.`, { cause });
  }
}

/** Null for anything but what `saveChat` writes; its messages are not looked at. */
function parsed(text: string): { readonly messages: unknown } | null {
  try {
    const value: unknown = JSON.parse(text);
    const isOurs =
      typeof value === "object" && value !== null && "messages" in value && "lastrow_chat" in value;
    return isOurs && value.lastrow_chat === VERSION ? { messages: value.messages } : null;
  } catch {
    return null;
  }
}

function messagesIn(text: string, file: string): ChatMessage[] {
  const found = parsed(text);
  if (found === null) {
    throw new LastrowError("invalid_argument", `${file} is no conversation that was saved with /save.`);
  }
  const { messages } = found;
  if (Array.isArray(messages) && messages.length === 0) return [];
  const asGiven = Array.isArray(messages) ? messages.map(read) : messages;
  try {
    checkMessages(asGiven);
  } catch (cause) {
    throw new LastrowError("invalid_argument", `${file}: ${(cause as Error).message}`, { cause });
  }
  return asGiven as ChatMessage[];
}

/** A message as OpenAI's API has it. */
function written({ role, content, reasoning, toolCalls, toolCallId, name }: ChatMessage): object {
  return {
    ...{ role, content },
    reasoning_content: reasoning,
    tool_calls: toolCalls?.map((call) => ({
      ...{ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } },
    })),
    tool_call_id: toolCallId,
    name,
  };
}

/** Not checked. */
function read(message: unknown): unknown {
  const { role, content, reasoning_content: reasoning, tool_calls: calls, ...others } = Object(message);
  const { tool_call_id: toolCallId, name } = others;
  const toolCalls = Array.isArray(calls)
    ? calls.map((call) => ({ id: Object(call).id, ...Object(Object(call).function) }))
    : calls;
  return {
    ...{ role, content: content ?? (toolCalls === undefined ? content : "") },
    ...(reasoning !== undefined && { reasoning }),
    ...(toolCalls !== undefined && { toolCalls }),
    ...(toolCallId !== undefined && { toolCallId }),
    ...(role === "tool" && name !== undefined && { name }),
  };
}

async function* piecesOf(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
