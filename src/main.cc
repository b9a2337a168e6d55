#include "skald/app/app.h"

int main(int argc, char** argv) { return skald::app::run(argc, argv); }
