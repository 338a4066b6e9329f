/**
 * How a template ends an answer: the special token that it writes behind a message of the assistant's. Older files name
 * only the token that ends a text, so that a model which has learnt to end its turns with another one would never stop.
 */
import type { ChatMessage } from "./chat-template.js";
import type { Run } from "./jinja/text.js";
import type { PromptEncoder } from "./prompt-encoder.js";

const QUESTION_AND_ANSWER: readonly ChatMessage[] = [
  { role: "user", content: "Hello." },
  { role: "assistant", content: "Hello!" },
];

/**
 * The ids of the tokens that end an answer; empty where the template writes none, or does not render this conversation.
 * @param render the template, without the beginning of another answer
 */
export async function turnEnds(
  render: (messages: readonly ChatMessage[]) => readonly Run[] | Promise<readonly Run[]>,
  encoder: PromptEncoder,
): Promise<readonly number[]> {
  try {
    const runs = await render(QUESTION_AND_ANSWER);
    const id = encoder.specialAfter(runs, QUESTION_AND_ANSWER.length);
    return id === null ? [] : [id];
  } catch {
    // Whatever is wrong with it, the conversation that is asked for will tell.
    return [];
  }
}
