// Gradio copies each single value of its state with structuredClone, thousands of times a run; a copy of a plain value is the value.
{
  const clone = window.structuredClone.bind(window);
  window.structuredClone = (value, ...options) => (value === null || (typeof value !== "object" && typeof value !== "function" && typeof value !== "symbol") ? value : clone(value, ...options));
}
