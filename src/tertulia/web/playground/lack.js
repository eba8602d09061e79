// What a model's providers are known not to honour.

const NEEDS = {
  tools: "tools",
  tool_choice: "tool_choice",
  tool_prompt: "tool_prompt",
  response_format: "response_format",
  top_logprobs: "logprobs",
};

/** A sentence on who of the providers that `chat` may go to can't honour the field `name`; "" if all may. */
export function lack(name, chat, card) {
  const all = card?.providers ?? [];
  const named = all.filter(({ provider }) => provider === chat.provider);
  const asked = named.length ? named : all;
  const without = asked.filter((one) => honours(one, NEEDS[name] ?? name) === false).map(({ provider }) => provider);
  if (!without.length) return "";
  if (without.length < asked.length) return `Not honoured by ${without.join(", ")}: others are asked first.`;
  return asked.length === 1 ? `${without[0]} does not honour this.` : "No provider of this model honours this.";
}

/** Whether a provider honours `need`; undefined if that is not known. */
function honours({ capabilities = {}, supports_tools: tools, supports_structured_output: structured }, need) {
  if (need in capabilities) return capabilities[need];
  return { tools, response_format: structured }[need];
}
