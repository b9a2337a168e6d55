// Reads Kubernetes objects (from standard input) or a compose file and complains about everything that the real types do not know:
// misspelt or misplaced fields, wrong value types. No cluster and no daemon is asked.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigyaml "sigs.k8s.io/yaml"
)

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme,
		policyv1.AddToScheme, rbacv1.AddToScheme, monitoring.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}

func kubernetes(in io.Reader) error {
	all, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	known := scheme()
	// As the API server reads: the case of names counts, unknown and doubled fields are errors.
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(all)))
	buffer := make([]byte, len(all)+1)
	count := 0
	var failures []error
	for {
		n, err := documents.Read(buffer)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		var kind metav1.TypeMeta
		if err := sigyaml.Unmarshal(buffer[:n], &kind); err != nil {
			return err
		}
		if kind.Kind == "" { // comments only
			continue
		}
		if _, _, err := strict.Decode(buffer[:n], nil, nil); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", kind.Kind, err))
		}
		count++
	}
	fmt.Printf("%d objects\n", count)
	return errors.Join(failures...)
}

func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("check"), cli.WithOsEnv, cli.WithDotEnv)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalYAML()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "compose" {
		err = compose(os.Args[2])
	} else {
		err = kubernetes(os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
