/** The worked examples under each command's help. */

const EXAMPLES = {
  compare: [
    ["lastrow compare", "the embedded model, a short story"],
    ['lastrow compare "Tom had a red ball" --max-tokens 200', "your own beginning"],
    [
      "lastrow compare --model openai-community/gpt2 --kernels reference",
      "GPT-2 on the plain TypeScript kernels",
    ],
    ["lastrow compare --max-tokens 300 --plot compare.svg", "the curves of rows and time, measured"],
    ["lastrow compare --model ./my-gpt2 --tokens 1,2,3 --json", "token ids in, numbers out"],
  ],
  explain: [
    ["lastrow explain", "why the KV cache works, on the embedded model"],
    ['lastrow explain "Tom had a red ball" --max-tokens 64 --svg figures', "and four figures in a folder"],
    ["lastrow explain --json | jq .cached.multiplyAdds", "the numbers alone"],
  ],
  generate: [
    ['lastrow generate "Once upon a time"', "stream a story"],
    ['lastrow generate "Tom and Lily" --temperature 0 --max-tokens 40', "the likeliest text"],
    ["echo 'The little dog' | lastrow generate --seed 7 --stop '\\n'", "one paragraph, the same each time"],
    ['lastrow generate "Tom had" --n 3 --max-tokens 30', "three continuations, the prompt computed once"],
    ['lastrow generate "Tom had a ball." --save tom.kv.safetensors', "keep it, to go on later"],
    ['lastrow generate " He" --restore tom.kv.safetensors', "go on, without computing it again"],
    ['lastrow generate "A cat:" --schema cat.json | jq .name', "JSON that fits a JSON Schema"],
    ["lastrow generate \"The answer is\" --regex ' (yes|no)'", "one of two answers"],
    ['lastrow generate "Hello" --json | jq .tokens', "everything about it as JSON"],
    ['lastrow generate "Once upon a time" --model ./model.Q4_K_M.gguf', "a GGUF file"],
  ],
  logits: [
    ['lastrow logits "Once upon a"', "the ten likeliest tokens"],
    ['lastrow logits "Once upon a time" --all', "what was expected at every position"],
    ["lastrow logits --tokens 1,2,3 --json --all > rows.json", "every number, to the bit"],
  ],
  inspect: [
    ["lastrow inspect", "the embedded model"],
    ["lastrow inspect --model openai-community/gpt2 --tensors", "GPT-2, tensor by tensor"],
    ["lastrow inspect --model ./model.Q4_K_M.gguf", "a GGUF file: its metadata and the types of its tensors"],
    ["lastrow inspect --json | jq .kv.bytesPerToken", "one number"],
  ],
  tokenize: [
    ['lastrow tokenize "Once upon a time"', "ids and pieces"],
    ["lastrow tokenize --ids < story.txt", "the ids of a file, as --tokens takes them"],
    ["lastrow tokenize --tokens 0,1,2", "the pieces of ids"],
    ['lastrow tokenize "Hello" --model Qwen/Qwen3-0.6B-GGUF', "of a model on the Hub, without its weights"],
  ],
  perplexity: [
    ["lastrow perplexity story.txt", "the embedded model"],
    [
      "lastrow perplexity book.txt --model openai-community/gpt2 --stride 512",
      "GPT-2, half the context apart",
    ],
    ["lastrow perplexity - --dtype int8 --json < story.txt", "what int8 weights cost"],
  ],
  embed: [
    ["lastrow embed texts.txt --model Qwen/Qwen3-Embedding-0.6B", "a vector for each line"],
    [
      "lastrow embed - --model ./embeds --prompt-name query < questions.txt",
      "questions, as the model wants to be asked",
    ],
    ["lastrow embed texts.txt --model ./embeds --dimensions 256", "shorter vectors"],
  ],
  cache: [
    ["lastrow cache", "four stories that begin alike"],
    ['lastrow cache "$(cat rules.txt) First." "$(cat rules.txt) Second."', "your own prompts"],
    [
      "lastrow cache --kv-memory 1MiB --max-tokens 60",
      "little memory: which sequences give way, what is evicted",
    ],
    ["lastrow cache --json | jq '.events[] | select(.type == \"hit\")'", "every block that was found"],
  ],
  bench: [
    ["lastrow bench", "the embedded model on all cores"],
    ["lastrow bench --model openai-community/gpt2 --dtype int8", "GPT-2 with weights of int8"],
    ["lastrow bench --prompt-tokens 16 --new-tokens 256 --threads 1", "mostly decoding, on one core"],
    ["lastrow bench --json | jq .share", "two numbers: how near the limits"],
  ],
  chat: [
    ["lastrow chat --model Qwen/Qwen3-0.6B-GGUF", "a line, an answer; Q4_K_M if it is there"],
    ["lastrow chat --model Qwen/Qwen3-0.6B-GGUF:Q8_0", "the same with weights of 8 bits"],
    ['lastrow chat --chat-template template.jinja --system "You are Lily."', "a model without a template"],
    ["lastrow chat --model Qwen/Qwen3-0.6B-GGUF --var enable_thinking=false", "without its thoughts"],
    ["lastrow chat --model ./my-chat-gpt2 --drop-oldest --keep-system", "goes on when the context is full"],
    ["lastrow chat --model ./my-chat-gpt2 < questions.txt", "one question a line"],
  ],
  serve: [
    ["lastrow serve", "http://127.0.0.1:8080, the embedded model"],
    ["lastrow serve --model openai-community/gpt2 --kv-memory 2GiB --port 9000", "GPT-2 with room for many"],
    ["lastrow serve --model Qwen/Qwen3-0.6B-GGUF:Q4_K_M", "one of a repository's GGUF files"],
    [
      "lastrow serve --host 0.0.0.0 --api-keys keys.txt",
      "for other machines, with keys: a name and a key on each line",
    ],
    [
      "lastrow serve --model Qwen/Qwen3-0.6B --model small=./my-gpt2 --idle 10m",
      "two models, each loaded when it is first asked for",
    ],
    ["lastrow serve --chat-template template.jinja", "chats with a model that has no template"],
  ],
  models: [
    ["lastrow models", "what is downloaded, and how much it takes"],
    ["lastrow models --json | jq '.models[] | {name, bytes, lastUsed}'", "for programs"],
    ["lastrow models rm openai-community/gpt2", "all of a repository"],
    ["lastrow models rm Qwen/Qwen3-0.6B-GGUF:Q8_0 org/model@v1 --yes", "a GGUF file, and a revision"],
  ],
} as const;

/** The text below a command's help. */
export function examplesOf(command: keyof typeof EXAMPLES): string {
  const lines = EXAMPLES[command].map(([line, meaning]) => `  ${line}\n      ${meaning}`);
  return `\nExamples:\n${lines.join("\n")}`;
}
