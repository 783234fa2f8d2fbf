package kubernetes

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// composeFile is what the Compose files here have in them.
type composeFile struct {
	Services map[string]struct {
		Image           string
		Build           any // a folder, or a mapping
		Entrypoint      []string
		Command         []string
		Volumes, Ports  []string
		DependsOn       map[string]struct{ Condition string } `json:"depends_on"`
		StopGracePeriod string                                `json:"stop_grace_period"`
		Environment     map[string]string
		Healthcheck     struct {
			Test        []string
			Interval    string
			Retries     int
			StartPeriod string `json:"start_period"`
		}
	}
	Volumes map[string]any
}

// TestCompose is here for this module's YAML. It compares each service's numbers, and has usher itself judge its settings.
func TestCompose(t *testing.T) {
	example, err := os.ReadFile("../compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := snippets(t, "services:")
	if len(files) != 1 {
		t.Errorf("%d pages have a Compose file", len(files))
	}
	files["example"] = string(example)
	usher := binary(t)
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			var file composeFile
			if err := yaml.UnmarshalStrict([]byte(text), &file); err != nil {
				t.Fatal(err)
			}
			checked, built := 0, map[string]bool{}
			for name, s := range file.Services {
				if s.Build != nil {
					built[s.Image] = true
				}
				for other, on := range s.DependsOn {
					if _, ok := file.Services[other]; !ok || on.Condition == "" {
						t.Errorf("%s depends on %s %q", name, other, on.Condition)
					}
				}
				if s.Environment["USHER_HEALTH_ADDR"] == "" {
					continue
				}
				checked++
				cmd := exec.Command(usher, "--plan", "--", "app")
				cmd.Env = []string{}
				for k, v := range s.Environment {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if plan, err := cmd.Output(); err != nil || stderr.Len() > 0 || !bytes.Contains(plan, []byte("the orchestrator's SIGKILL")) {
					t.Errorf("%s: usher says %v: %s%s", name, err, &stderr, plan)
				}
				granted, err := time.ParseDuration(s.StopGracePeriod)
				if grace, graceErr := time.ParseDuration(s.Environment["USHER_GRACE_PERIOD"]); err != nil || graceErr != nil || grace != granted {
					t.Errorf("%s: stop_grace_period %q, usher has %q", name, s.StopGracePeriod, s.Environment["USHER_GRACE_PERIOD"])
				}
				if s.Healthcheck.Test[0] != "CMD" || !strings.HasSuffix(strings.Join(s.Healthcheck.Test, " "), "/usher --probe readyz") {
					t.Errorf("%s: healthcheck %q", name, s.Healthcheck.Test)
				}
				if s.Healthcheck.StartPeriod == "" { // or depends_on: service_healthy fails for a start that takes longer than the interval
					t.Errorf("%s: no start_period", name)
				}
				if strings.HasPrefix(s.Image, "nginx:") && !strings.Contains(s.Environment["USHER_STOP_SIGNALS"], "QUIT") {
					t.Errorf("%s: the STOPSIGNAL of %s is QUIT", name, s.Image)
				}
			}
			for service, s := range file.Services {
				if name == "example" && s.Build == nil && !built[s.Image] {
					t.Errorf("%s: nobody builds %q, and it is in no registry", service, s.Image)
				}
			}
			if checked == 0 {
				t.Error("no service has usher's variables")
			}
		})
	}
}
