// One field of the form, as a component of Gradio: its control is drawn by controls.js, its value is what stands in it.

import { workbenchOf } from "./workbench.js";
import { CONTROLS } from "./controls.js";

const WATCHED = ["value", "choices", "choices_by", "placeholder", "locked", "advice", "note"];

export function mount({ element, props, trigger, watch, server }) {
  const workbench = workbenchOf(element);
  const name = props.field;
  const changed = (value, how) => {
    const old = props.value;
    props.value = value;
    trigger("input");
    workbench.emit("field", { name, value });
    workbench.emit("edit", { name, how, old });
  };
  const body = element.querySelector(".field-body");
  const control = CONTROLS[props.kind]({ props, workbench, body, id: workbench.id(name), changed, server });
  watch(WATCHED, () => {
    control.sync();
    workbench.emit("field", { name, value: props.value });
    workbench.emit("filled", { name });
  });
  control.sync();
  if (props.only.length) onlyWhere(props, workbench, element.closest(".block"));
  workbench.fields.set(name, {
    only: props.only,
    get: () => props.value,
    words: control.words,
    set: (value, how = "set") => {
      changed(value, how);
      control.sync();
    },
  });
  workbench.emit("field", { name, value: props.value });
}

/** Hidden while another field gives it nothing to do, unless it has been set. */
function onlyWhere(props, workbench, holder) {
  const [leader, wanted, fallback] = props.only;
  const place = () => holder.toggleAttribute("data-idle", workbench.fields.get(leader)?.get() !== wanted && String(props.value) === String(fallback));
  workbench.on("field", ({ name }) => [leader, props.field].includes(name) && place());
  place();
}
