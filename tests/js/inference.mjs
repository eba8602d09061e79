// @huggingface/inference against an OpenAI-compatible address (its argument), or without one as its README has it.
import { InferenceClient } from "@huggingface/inference";

const [endpointUrl] = process.argv.slice(2);
const client = new InferenceClient(process.env.HF_TOKEN ?? "hf_none", endpointUrl ? { endpointUrl } : {});
const question = {
  model: "meta-llama/Llama-3.3-70B-Instruct",
  messages: [{ role: "user", content: "What is the capital of France?" }],
  temperature: 0,
  max_tokens: 24,
};
if (endpointUrl) question.model = "default";
else question.provider = "featherless-ai";

const whole = await client.chatCompletion(question);
let streamed = "";
for await (const chunk of client.chatCompletionStream(question)) {
  if (chunk.choices.length) streamed += chunk.choices[0].delta.content;
}
console.log(JSON.stringify({ model: whole.model, whole: whole.choices[0].message.content, streamed }));
