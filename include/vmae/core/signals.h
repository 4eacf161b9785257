#pragma once
// SIGTERM, SIGUSR1 and SIGUSR2 (and the first SIGINT) ask a run to
// finish its step, save and exit 75; a second SIGINT ends it at once.
namespace vmae {

void install_stop_signals();
bool stop_requested();           // async-signal-safe flag
const char* stop_signal_name();  // "SIGTERM", ..., or "" if none came

}  // namespace vmae
