// Search by words, such as `status:failed demo`: each must match the field that it names, or any field.

export function finder(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, field, value] = /^(pipeline|action|status):(.*)$/.exec(word) ?? [null, null, word];
    return { field, value };
  });
  return (texts) =>
    wanted.every(({ field, value }) => (field ? texts[field] ?? "" : Object.values(texts).join(" ")).toLowerCase().includes(value));
}
