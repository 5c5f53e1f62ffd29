/* Linked with one layer and the layers below it: what does not resolve calls upward. */
int main(void)
{
    return 0;
}
