/** Conversations as OpenAI's chats have them, turned into what all routes of chats take. */
import type { ChatMessage } from "../chat/chat-template.js";
import { ApiError } from "./api-error.js";
import type { ChatPromptAsk } from "./chat-generation.js";
import type { ChatPromptBody } from "./schemas/chat.js";

/**
 * The conversation of a request.
 * @throws ApiError 400 for a last message that is to be continued and to be followed by another
 */
export function chatPromptAsk(body: ChatPromptBody): ChatPromptAsk {
  const { messages, add_generation_prompt, continue_final_message } = body;
  const continueLast = continue_final_message === true;
  if (continueLast && add_generation_prompt === true) {
    throw new ApiError(
      400,
      "invalid_request",
      "continue_final_message and add_generation_prompt cannot both be true: the last message goes on, or another one begins.",
      { param: "continue_final_message" },
    );
  }
  return {
    messages: messagesOf(messages),
    messagesParam: "messages",
    variables: body.chat_template_kwargs ?? {},
    variablesParam: "chat_template_kwargs",
    addGenerationPrompt: add_generation_prompt ?? true,
    continueLast,
  };
}

function messagesOf(bodies: ChatPromptBody["messages"]): ChatMessage[] {
  return bodies.map(({ role, content, reasoning_content: reasoning }) => ({
    ...{ role, content },
    ...(reasoning != null && { reasoning }),
  }));
}
