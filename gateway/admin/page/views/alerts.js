// Alerts that are pending or fire. Hidden where the gateway has none.

export class AlertsView {
  id = "alerts";
  title = "Alerts";
  titled = true;
  hidden = true;
  element = document.createElement("div");
}
