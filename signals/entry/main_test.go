package entry

import (
	"testing"

	"usher/signals/testmain"
)

func TestMain(m *testing.M) { testmain.Main(m.Run) }
