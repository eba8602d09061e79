// openai's SDK against an OpenAI-compatible address (its argument): whole, and with the helper that folds a stream.
import OpenAI from "openai";

const [baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: process.env.HF_TOKEN ?? "none", maxRetries: 0 });
const question = {
  model: baseURL.includes("huggingface") ? "meta-llama/Llama-3.3-70B-Instruct" : "default",
  messages: [{ role: "user", content: "What is the capital of France?" }],
  temperature: 0,
  max_tokens: 24,
};
const parameters = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Lyon"] } },
  required: ["city"],
};
const tools = [{ type: "function", function: { name: "weather", description: "The weather of a city", parameters } }];

const whole = await client.chat.completions.create(question);
let pieces = "";
const said = client.chat.completions.stream({ ...question, stream_options: { include_usage: true } });
said.on("content", (delta) => (pieces += delta));
const folded = await said.finalChatCompletion();
const calls = await client.chat.completions
  .stream({ ...question, tools, tool_choice: "required" })
  .finalChatCompletion();
const refused = await client.chat.completions.create({ ...question, temperature: 3 }).catch((error) => error);

console.log(
  JSON.stringify({
    model: whole.model,
    whole: whole.choices[0].message.content,
    pieces,
    folded: folded.choices[0].message,
    usage: folded.usage,
    call: calls.choices[0].message,
    finish: calls.choices[0].finish_reason,
    refused: { name: refused.constructor.name, status: refused.status, param: refused.param },
  }),
);
